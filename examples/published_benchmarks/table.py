"""The tables in Markdown and the pictures, from the lines of the results."""

import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from examples.beside_dense.table import markdown
from examples.published_benchmarks.benchmarks import BENCHMARKS, PAPER
from examples.published_benchmarks.methods import METHODS
from examples.published_benchmarks.published_numbers import ACCURACIES
from tsn_keras.evaluation import PUBLISHED, plot_accuracy_against_bytes
from tsn_keras.evaluation.published import SOURCE

Line = dict[str, Any]
# Within so many points a published accuracy is reproduced.
REPRODUCED = 1.0
HEADER = (
    *("method", "seeds", "accuracy", "worst task", "backward transfer"),
    *("bytes stored", "of one network", "training, s", "peak memory, MB"),
    *("1,000 images, ms", "published", "status"),
)
BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"


def make_tables(lines: Sequence[Line]) -> str:
    """Returns a table for each benchmark and protocol, or what was not run."""
    texts = []
    for name, benchmark in BENCHMARKS.items():
        of_benchmark = [line for line in lines if line["benchmark"] == name]
        protocols = sorted({protocol(line) for line in of_benchmark})
        if not protocols:
            texts.append(f"## {benchmark.title}\n\nNot run here.")
        for kind in protocols:
            same = [line for line in of_benchmark if protocol(line) == kind]
            texts.append(
                f"## {benchmark.title}\n\n{kind}.\n\n{_table(name, same)}"
            )
        if name in PUBLISHED and protocols:
            texts.append(_published(name))
    return "\n\n".join(texts) + "\n"


def protocol(line: Line) -> str:
    """Returns in words what the lines of one table have in common.

    >>> protocol({"preset": "short", "order": "natural", "settings": {
    ...     "num_tasks": 3, "epochs": 1, "batch_size": 10}})
    'Preset `short`: 3 tasks, 1 epoch, batches of 10, natural order'
    """
    settings = line["settings"]
    plural = "s" if settings["epochs"] != 1 else ""
    return (
        f"Preset `{line['preset']}`: {settings['num_tasks']} tasks, "
        f"{settings['epochs']} epoch{plural}, batches of "
        f"{settings['batch_size']}, {line['order']} order"
    )


def is_as_published(line: Line) -> bool:
    """Whether tasks and epochs are those of the paper."""
    of, settings = BENCHMARKS[line["benchmark"]], line["settings"]
    return settings == {
        "num_tasks": of.num_tasks[PAPER],
        "epochs": of.epochs[PAPER],
        "batch_size": of.batch_size,
    }


def status(name: str, method: str, lines: Sequence[Line]) -> str:
    """Returns whether a published accuracy was reproduced."""
    if not lines:
        return "not run here"
    known = ACCURACIES.get(name, {}).get(method)
    if known is None:
        return "nothing published"
    if not all(map(is_as_published, lines)):
        return "not run as published"
    gap = 100 * (statistics.fmean(_of(lines, "accuracy")) - known[0])
    word = "reproduced" if abs(gap) <= REPRODUCED else "not reproduced"
    return f"{word} ({gap:+.2f})"


def _table(name: str, lines: Sequence[Line]) -> str:
    """Returns a row for each method; of other protocols, if it was run."""
    rows, is_published = [], all(map(is_as_published, lines))
    for method, facts in METHODS.items():
        own = [line for line in lines if line["method"] == method]
        if not own and (facts.is_variant or not is_published):
            continue
        known = ACCURACIES.get(name, {}).get(method)
        published = f"{100 * known[0]:.2f} % ({known[1]})" if known else ""
        cells = [""] * 8
        if own:
            # What joint training has before the last task is no accuracy.
            transfer = _of(own, "backward_transfer")
            transfer = [] if method == "joint" else transfer
            seconds = [
                line["training_seconds"] + line["consolidation_seconds"]
                for line in own
            ]
            cells = [
                _spread(_of(own, "accuracy"), "{:.2f} %", 100),
                _spread(_of(own, "worst"), "{:.2f} %", 100),
                _spread(transfer, "{:.4f}"),
                _spread(_of(own, "total_bytes"), "{:,.0f}"),
                _spread(_of(own, "fraction"), "{:.2f} %", 100),
                _spread(seconds, "{:,.0f}"),
                _spread(_of(own, "peak_megabytes"), "{:,.0f}"),
                _spread(_of(own, "inference_ms"), "{:.1f}"),
            ]
        count = str(len(own))
        title = facts.title + _strengths(own) + _learned(own)
        rows.append(
            (title, count, *cells, published, status(name, method, own))
        )
    return markdown(HEADER, rows)


def _published(name: str) -> str:
    rows = [
        (method, f"{100 * accuracy:.2f} %", f"{100 * part:.2f} %")
        for method, accuracy, part in PUBLISHED[name]
    ]
    header = ("published elsewhere", "accuracy", "of one network")
    return f"{markdown(header, rows)}\n\nSource: {SOURCE}."


def _of(lines: Iterable[Line], key: str) -> list[float]:
    return [line[key] for line in lines]


def _strengths(lines: Sequence[Line]) -> str:
    chosen = {line["strength"] for line in lines} - {None}
    return f" ({', '.join(f'{s:g}' for s in sorted(chosen))})" if chosen else ""


def _learned(lines: Sequence[Line]) -> str:
    """Returns how many tasks there was room for, if not for all."""
    of = [line["settings"]["num_tasks"] for line in lines]
    # Lines of before had learned all.
    counts = [line.get("learned", all_) for line, all_ in zip(lines, of)]
    if counts == of:
        return ""
    return f", room for {_spread(counts, '{:.0f}')} of {of[0]} tasks"


def _spread(values: list[float], form: str, factor: float = 1.0) -> str:
    """Returns mean and standard deviation; the latter of several values.

    >>> _spread([0.5, 0.7], "{:.1f} %", 100)
    '60.0 % (14.1)'
    """
    if not values:
        return ""
    values = [factor * value for value in values]
    text = form.format(statistics.fmean(values))
    if len(values) == 1:
        return text
    deviation = form.format(statistics.stdev(values)).removesuffix(" %")
    return f"{text} ({deviation})"


def draw(lines: Sequence[Line], folder: pathlib.Path) -> list[pathlib.Path]:
    """Draws accuracy against bytes for each benchmark that was run."""
    drawn = []
    for name in BENCHMARKS:
        own = [
            line
            for line in lines
            if line["benchmark"] == name and is_as_published(line)
        ]
        points = {}
        for method, facts in METHODS.items():
            if facts.is_variant:
                continue
            same = [line for line in own if line["method"] == method]
            if same:
                points[facts.title] = (
                    statistics.fmean(_of(same, "accuracy")),
                    statistics.fmean(_of(same, "fraction")),
                )
        if points:
            path = folder / f"published_{name}.svg"
            published = name if name in PUBLISHED else None
            title = BENCHMARKS[name].title
            plot_accuracy_against_bytes(points, path, published, title)
            drawn.append(path)
    return drawn


def put_into_page(tables: str, page: pathlib.Path) -> None:
    """Replaces the tables of a page, between two marks.

    Raises:
        ValueError: If the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(
            f"'{page}' has no place for the tables: a line {BEGIN} and, below "
            f"it, a line {END}. Add them, or give another --page."
        )
    text = f"{before}{begin}\n\n{tables}\n{end}{after}"
    page.write_text(text, encoding="utf-8")
