"""The table in Markdown, and what it says about the goals."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from examples.beside_dense.rows import GRID_ROWS, REGRESSION, ROWS
from examples.beside_dense.statistics import (
    bytes_for_accuracy,
    error_ratio,
    gap_of,
    paired_gap,
)
from examples.beside_dense.training import GRID

# The goals of the table, in points, ratios and seconds.
MEAN_GAP, FAILING_GAP, ERROR_RATIO, BYTES_RATIO = 0.5, 1.5, 1.03, 1.15
LONG_FIT, MEDIAN_TIME, WORST_TIME, EXTRA_SECONDS = 60.0, 2.2, 3.0, 20.0

Line = dict[str, Any]
HEADER = (
    *("row", "jobs", "dense", "ours", "gap (95 %)", "worst task"),
    *("sparsity", "bits", "capacity", "seconds dense + more", "time"),
)


@dataclasses.dataclass(frozen=True)
class Summary:
    """What all lines of a row say together.

    Args:
        dense: Mean accuracy, or R2.
        loss: Mean gap in points; the ratio of errors for a regression.
        worst: The same of the task that lost most.
        seconds: Of the plain `fit` of one task.
        ours_seconds: Of `fit` and `consolidate` of one task.
    """

    name: str
    lines: Sequence[Line]
    is_regression: bool
    dense: float
    ours: float
    loss: float
    interval: tuple[float, float]
    worst: float
    seconds: float
    ours_seconds: float

    @property
    def time_ratio(self) -> float:
        return self.ours_seconds / self.seconds

    def mean(self, key: str) -> float:
        return float(np.mean([line[key] for line in self.lines]))


def summarize(name: str, lines: Sequence[Line]) -> Summary:
    """Returns what the lines of one row and variant say."""
    is_regression = lines[0]["kind"] == REGRESSION
    if is_regression:
        loss, interval = error_ratio(lines)
        worst = max(_ratios_of_tasks(lines))
    else:
        loss, interval = paired_gap(lines)
        gaps = [[gap_of(task) for task in line["tasks"]] for line in lines]
        worst = float(np.mean(gaps, axis=0).max())
    seconds = [line["seconds"] for line in lines]
    fits = len(lines[0]["tasks"])
    return Summary(
        name=name,
        lines=lines,
        is_regression=is_regression,
        dense=mean_quality(lines, "dense"),
        ours=mean_quality(lines, "ours"),
        loss=loss,
        interval=interval,
        worst=worst,
        seconds=float(np.mean([s["dense_fit"] for s in seconds])) / fits,
        ours_seconds=float(
            np.mean([s["fit"] + s["consolidate"] for s in seconds])
        )
        / fits,
    )


def _ratios_of_tasks(lines: Sequence[Line]) -> Iterable[float]:
    for of_lines in zip(*(line["tasks"] for line in lines)):
        ours, dense = (
            sum(task[f"{name}_squares"] for task in of_lines)
            for name in ("ours", "dense")
        )
        yield ours / dense


def mean_quality(lines: Sequence[Line], side: str) -> float:
    return float(np.mean([[t[side] for t in line["tasks"]] for line in lines]))


def grouped(lines: Iterable[Line], variant: str) -> dict[str, list[Line]]:
    """Returns the lines of a variant by row, in the order of the rows."""
    lines = [line for line in lines if line["variant"] == variant]
    groups = {name: [x for x in lines if x["row"] == name] for name in ROWS}
    return {name: group for name, group in groups.items() if group}


def make_table(lines: Sequence[Line]) -> str:
    """Returns all tables and goals that there are lines for, in Markdown."""
    texts = []
    for variant, title in (
        ("default", "Default settings"),
        ("early_stopping", "With `EarlyStopping` in both networks"),
    ):
        summaries = [
            summarize(name, group)
            for name, group in grouped(lines, variant).items()
        ]
        if summaries:
            texts += [f"**{title}**", _table_of(summaries), goals(summaries)]
    if needed := needed_bytes(lines):
        texts += ["**Bytes beside fixed settings**", _table_of_bytes(needed)]
    return "\n\n".join(texts) or "There are no results yet."


def _table_of(summaries: Sequence[Summary]) -> str:
    rows = []
    for summary in summaries:
        form = "x {:.3f}" if summary.is_regression else "{:.2f}"
        loss, low, high, worst = (
            form.format(value)
            for value in (summary.loss, *summary.interval, summary.worst)
        )
        more = summary.ours_seconds - summary.seconds
        rows.append(
            (
                summary.name,
                str(len(summary.lines)),
                *(f"{100 * q:.2f}" for q in (summary.dense, summary.ours)),
                f"{loss} ({low} to {high})",
                worst,
                f"{summary.mean('sparsity'):.1%}",
                f"{summary.mean('bits'):.2f}",
                f"{summary.mean('fraction'):.1%}",
                f"{summary.seconds:.1f} + {more:.1f}",
                f"{summary.time_ratio:.2f}",
            )
        )
    return markdown(HEADER, rows)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def goals(summaries: Sequence[Summary]) -> str:
    """Returns a line for each goal: met or not, and the figure."""
    found = []
    gaps = [s for s in summaries if not s.is_regression]
    if gaps:
        mean = float(np.mean([s.loss for s in gaps]))
        found.append(
            _goal(
                mean <= MEAN_GAP,
                f"mean gap of {len(gaps)} classification rows {mean:.2f} "
                f"points (at most {MEAN_GAP})",
            )
        )
        failing = [s.name for s in gaps if s.interval[0] > FAILING_GAP]
        found.append(
            _goal(
                not failing,
                "rows whose interval lies above "
                f"{FAILING_GAP} points: {', '.join(failing) or 'none'}",
            )
        )
    for s in summaries:
        if s.is_regression:
            text = f"error of {s.name} {s.loss:.3f} of the dense network's"
            met = s.loss <= ERROR_RATIO
            found.append(_goal(met, f"{text} (at most {ERROR_RATIO})"))
    return "\n".join([*found, *_goals_of_time(summaries)])


def _goals_of_time(summaries: Sequence[Summary]) -> Iterable[str]:
    """Yields the goals of the time of one task's `fit` and `consolidate`."""
    ratios = [s.time_ratio for s in summaries if s.seconds >= LONG_FIT]
    if ratios:
        median, worst = float(np.median(ratios)), max(ratios)
        yield _goal(
            median <= MEDIAN_TIME and worst <= WORST_TIME,
            f"time of {len(ratios)} rows with a plain fit of a minute or "
            f"more: median {median:.2f} (at most {MEDIAN_TIME}), worst "
            f"{worst:.2f} (at most {WORST_TIME})",
        )
    short = [s for s in summaries if s.seconds < LONG_FIT]
    if short:
        slowest = max(short, key=lambda s: s.ours_seconds - s.seconds)
        more = slowest.ours_seconds - slowest.seconds
        yield _goal(
            more <= EXTRA_SECONDS,
            f"most seconds more for a task of the {len(short)} other rows: "
            f"{more:.1f} in {slowest.name} (at most {EXTRA_SECONDS:.0f})",
        )


def _goal(met: bool, text: str) -> str:
    return f"- {'met' if met else '**not met**'}: {text}"


@dataclasses.dataclass(frozen=True)
class NeededBytes:
    """The default's bytes beside those that fixed settings need."""

    name: str
    accuracy: float
    bytes: float
    needed: float
    points: int


def needed_bytes(lines: Sequence[Line]) -> list[NeededBytes]:
    """Returns the comparison for each row with a grid.

    Only jobs count that every point of the grid and the default have.
    """
    found = []
    for name in GRID_ROWS:
        groups = {
            variant: {
                (line["seed"], line["fold"]): line
                for line in grouped(lines, variant).get(name, [])
            }
            for variant in ("default", *GRID)
        }
        groups = {variant: group for variant, group in groups.items() if group}
        if len(groups) < 2 or "default" not in groups:
            continue
        common = sorted(set.intersection(*map(set, groups.values())))
        if not common:
            continue
        points = {
            variant: _bytes_and_quality([group[key] for key in common])
            for variant, group in groups.items()
        }
        size, accuracy = points.pop("default")
        needed = bytes_for_accuracy(list(points.values()), accuracy)
        found.append(NeededBytes(name, accuracy, size, needed, len(points)))
    return found


def _bytes_and_quality(lines: Sequence[Line]) -> tuple[float, float]:
    size = float(np.mean([line["bytes"] for line in lines]))
    return size, mean_quality(lines, "ours")


def _table_of_bytes(found: Sequence[NeededBytes]) -> str:
    rows = [
        (
            row.name,
            f"{100 * row.accuracy:.2f}",
            f"{row.bytes:,.0f}",
            f"{row.needed:,.0f}",
            f"{row.bytes / row.needed:.2f}",
            str(row.points),
        )
        for row in found
    ]
    header = ("row", "accuracy", "bytes", "bytes of fixed settings", "ratio")
    mean = float(np.mean([row.bytes / row.needed for row in found]))
    goal = _goal(
        mean <= BYTES_RATIO,
        f"mean ratio of {len(found)} rows {mean:.2f} (at most {BYTES_RATIO})",
    )
    return markdown((*header, "points"), rows) + f"\n\n{goal}"
