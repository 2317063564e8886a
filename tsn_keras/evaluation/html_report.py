"""The report of a run as one HTML page that needs nothing else.

No server, no script, no font, no picture from elsewhere: the page forbids the
browser to load anything. Figures are drawn in the page itself, so that they
follow its width and its theme.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tsn_keras.bank import WeightBank
from tsn_keras.data import check_paths, check_strings, shown
from tsn_keras.evaluation import svg
from tsn_keras.evaluation.occupancy import (
    KernelOccupancy,
    bytes_by_task,
    check_bank,
    mask_overlap,
    occupancy,
)
from tsn_keras.files import complete_file
from tsn_keras.tables import Column, Table, escaped

# With more tasks a matrix is a picture without numbers.
MOST_NUMBERED = 20
# With more kernels those behind are folded away.
MOST_OPEN_KERNELS = 8
MOST_WARNINGS = 6
MOST_ROWS = 500
_NEEDED = ("tasks", "accuracy_matrix", "metrics", "capacity", "bit_exact")
# What has a place of its own in the page.
_PLACED = (
    *_NEEDED,
    *("seconds", "training_seconds", "consolidation_seconds"),
    *("config", "versions"),
)

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1c2733;
--faint:#5b6977;--line:#dde3e9;--free:#e9edf1;--heat:26 105 148;
--good:#1a7f4b;
--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--page:#11161c;--card:#1a2129;
--ink:#e4e9ee;--faint:#9aa8b5;--line:#303a45;--free:#2a333d;--heat:88 170 222;
--good:#5fce95;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);overflow-wrap:anywhere;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 16px 48px}
h1{font-size:1.6rem;line-height:1.2;margin:0 0 4px}
h2{font-size:1.1rem;margin:0 0 4px}
h3{font-size:.9rem;margin:16px 0 4px;font-weight:600}
p{margin:4px 0 8px}
.faint,footer,figcaption,caption{color:var(--faint);font-size:.85rem}
section{background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:16px;margin-top:16px}
.tiles{display:grid;gap:12px;margin-top:16px;
grid-template-columns:repeat(auto-fit,minmax(155px,1fr))}
.tiles section{margin:0;padding:12px 16px}
.tiles b{display:block;font-size:1.6rem;line-height:1.25;font-weight:650}
.tiles p{margin:0}
.good{color:var(--good)}.bad{color:var(--bad)}
.scroll{overflow-x:auto;margin-top:8px}
table{border-collapse:collapse;font-size:.85rem;
font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:4px}
th,td{padding:4px 10px;border-bottom:1px solid var(--line);text-align:left;
vertical-align:top;white-space:nowrap}
th{font-weight:600;color:var(--faint)}
td:first-child,th:first-child{padding-left:0}
td:first-child{white-space:normal;min-width:7em;max-width:min(18em,38vw)}
.wide td:last-child{white-space:normal;min-width:14em}
.matrix td,.matrix th{padding:4px 8px;border:1px solid var(--card);
max-width:7em;overflow:hidden;text-overflow:ellipsis}
.matrix td:first-child{font-weight:600;color:var(--faint);max-width:10em;
white-space:nowrap;position:sticky;left:0;background:var(--card)}
svg{display:block;width:100%;overflow:visible}
.plot{display:grid;grid-template-columns:auto 1fr;gap:4px 8px;margin:12px 0 0}
.plot svg{height:240px}
.y{position:relative;width:3.6em;font-size:.8rem;color:var(--faint)}
.y span{position:absolute;right:0;transform:translateY(50%)}
.x{grid-column:2;display:flex;font-size:.8rem;color:var(--faint);
white-space:nowrap}
.x span{flex:1 1 0;min-width:0;display:flex;justify-content:center}
.line,.dots,.grid{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--line)}.line{stroke-width:2;stroke-linejoin:round}
.dots{stroke-width:8;stroke-linecap:round}
.heat{fill:rgb(var(--heat));shape-rendering:crispEdges}
.map svg{width:min(100%,480px);height:auto;aspect-ratio:1;
background:var(--free)}
.slots{margin:8px 0 0}
.slots svg{height:72px;background:var(--free);border-radius:4px;
shape-rendering:crispEdges;overflow:hidden}
.bar{display:flex;height:26px;border-radius:4px;background:var(--free);
overflow:hidden;margin:4px 0}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.85rem;
margin:8px 0 0;padding:0;list-style:none}
.legend li{display:flex;align-items:baseline}
.legend i{flex:none;width:.8em;height:.8em;border-radius:2px;margin-right:6px}
summary{cursor:pointer;margin-top:12px;color:var(--faint)}
ul.warn{margin:8px 0 0;padding-left:20px}
footer{margin-top:16px}
"""
# Nothing may be loaded, whatever a text holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_html_report(
    path: str | os.PathLike,
    report: Mapping[str, Any],
    bank: WeightBank | None = None,
    title: str = "Continual learning report",
) -> None:
    """Writes the report of a run as one page that loads nothing.

    It is made for phones and desktops, in light and dark. With the bank it also
    shows which task owns which bits, how far masks overlap, and the bytes of
    each task.

    Args:
        path: The file to write.
        report: What `build_report` or `write_report` returned, or what
            `report.json` holds.
        bank: `model.bank` of the model that the report is about.
        title: Heading of the page.

    Raises:
        ValueError: If the report lacks an entry.

    Example:

    ```python
    report = json.loads(pathlib.Path("run/report.json").read_text())
    write_html_report("report.html", report)
    ```
    """
    check_paths(path=path)
    check_strings(title=title)
    check_report(report)
    if bank is not None:
        check_bank(bank)
    page = _Page(report, bank).html(title)
    with complete_file(path) as unfinished:
        # Half a pair of surrogates has no UTF-8.
        unfinished.write_bytes(page.encode("utf-8", "xmlcharrefreplace"))


def check_report(report: Any) -> None:
    """Refuses what `build_report` did not return."""
    if not isinstance(report, Mapping):
        raise TypeError(
            "`report` must be a dict, as `write_report` returns it. Received: "
            f"report={shown(report)}"
        )
    missing = [key for key in _NEEDED if key not in report]
    if missing:
        raise ValueError(
            f"`report` lacks the entries {missing}. Pass what `write_report` "
            f"returned. Received the entries {list(report)}."
        )


class _Page:
    """The sections of the page, each one a method."""

    def __init__(self, report: Mapping[str, Any], bank: WeightBank | None):
        self._report = report
        self._tasks = report["tasks"]
        self._bank = bank if bank is not None and bank.tasks else None
        matrix = report["accuracy_matrix"]
        names = [str(task.get("name", "")) for task in self._tasks]
        names += map(str, range(len(names), len(matrix)))
        self._names = names
        self._matrix = np.array(matrix, np.float64).reshape((len(matrix),) * 2)
        known = self._matrix[np.isfinite(self._matrix)]
        monitors = [str(task.get("monitor", "")) for task in self._tasks]
        self._is_percent = all("acc" in name for name in monitors) and (
            known.size == 0 or 0 <= known.min() and known.max() <= 1
        )

    def html(self, title: str) -> str:
        sections = [
            _section(heading, content)
            for heading, content in self._sections()
            if content
        ]
        return (
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
            '<meta name="viewport" content="width=device-width, '
            'initial-scale=1"><link rel="icon" href="data:,">'
            f"<title>{escaped(title)}</title><style>{_STYLE}</style></head>"
            f"<body><main><h1>{escaped(title)}</h1>{self._tiles()}"
            f"{''.join(sections)}{self._footer()}</main></body></html>\n"
        )

    def _sections(self) -> Iterator[tuple[str, str]]:
        yield "Accuracy over time", self._over_time()
        yield "Accuracy on each task after each task", self._accuracy_matrix()
        yield "Tasks", self._task_table()
        if self._bank is not None:
            yield "Who owns which bits", self._occupancy()
            yield "How far masks overlap", self._overlap()
        yield "Where the bytes go", self._bytes()
        yield "Settings", self._settings()

    def _quality(self, value: float | None) -> str:
        if value is None or not math.isfinite(value):
            return "unknown"
        return f"{100 * value:.2f} %" if self._is_percent else f"{value:.4f}"

    def _tiles(self) -> str:
        metrics, capacity = self._report["metrics"], self._report["capacity"]
        count = len(self._tasks)
        worst = [value for value in self._last_row() if math.isfinite(value)]
        says = f"worst task {self._quality(min(worst))}" if worst else ""
        tiles = [
            _tile(
                "Average accuracy",
                self._quality(metrics.get("average_accuracy")),
                says,
            ),
            _tile(
                "Size",
                f"{100 * capacity['fraction']:.1f} %",
                f"of one dense network: {capacity['total_bytes']:,} of "
                f"{capacity['dense_bytes']:,} bytes, for {_tasks(count)}",
            ),
            self._forgetting_tile(metrics.get("forgetting")),
        ]
        forward = metrics.get("forward_transfer")
        if forward is not None:
            unit = 100 if self._is_percent else 1
            says = "beside networks that learned one task alone, on average"
            tiles.append(
                _tile("Forward transfer", f"{unit * forward:+.2f}", says)
            )
        if isinstance(self._report.get("seconds"), (int, float)):
            tiles.append(self._time_tile(self._report["seconds"]))
        return f'<div class="tiles">{"".join(tiles)}</div>'

    def _forgetting_tile(self, forgetting: float | None) -> str:
        exact = self._report["bit_exact"]
        says = (
            "bit-exact: every earlier task answers as on its first day"
            if exact
            else "NOT bit-exact: an earlier task answers otherwise"
        )
        value = "unknown"
        if forgetting is not None:
            value = self._quality(forgetting) if forgetting else "0"
        return _tile("Forgetting", value, says, "good" if exact else "bad")

    def _time_tile(self, seconds: float) -> str:
        parts = [
            f"{name} {_duration(self._report[key])}"
            for name, key in (
                ("training", "training_seconds"),
                ("consolidation", "consolidation_seconds"),
            )
            if isinstance(self._report.get(key), (int, float))
        ]
        return _tile("Time", _duration(seconds), ", ".join(parts))

    def _last_row(self) -> np.ndarray:
        known = np.isfinite(self._matrix).any(axis=1)
        return self._matrix[known][-1] if known.any() else np.array([])

    def _over_time(self) -> str:
        known = self._matrix[np.isfinite(self._matrix)]
        if not known.size:
            return ""
        low, high = float(known.min()), float(known.max())
        margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.05
        low, high = low - margin, high + margin
        if self._is_percent:
            low, high = max(0.0, low), min(1.0, high)
        count = len(self._matrix)

        def place(row, value):
            along = (row + 0.5) / count
            return along, (value - low) / (high - low)

        series = [
            [place(r, v) for r, v in enumerate(column) if math.isfinite(v)]
            for column in self._matrix.T
        ]
        marks = svg.ticks(low, high)
        heights = [(mark - low) / (high - low) for mark in marks]
        unit, sign = (100, " %") if self._is_percent else (1, "")
        labels = "".join(
            f'<span style="bottom:{100 * height:.1f}%">'
            f"{unit * mark:.6g}{sign}</span>"
            for mark, height in zip(marks, heights)
        )
        drawing = svg.lines(
            series, self._names, heights, "A line for each task"
        )
        along = "".join(f"<span>{n}</span>" for n in self._steps(count))
        return (
            '<p class="faint">Each task is tested again after every later '
            "one. A level line forgets nothing.</p>"
            f'<div class="plot"><div class="y">{labels}</div>{drawing}'
            f'<div class="x">{along}</div></div>'
            '<p class="faint" style="text-align:center">tasks learned</p>'
            + self._task_legend()
        )

    @staticmethod
    def _steps(count: int) -> list[str]:
        """What stands below the plot: a number for each task, or for some."""
        every = math.ceil(count / 10)
        return [str(n + 1) if n % every == 0 else "" for n in range(count)]

    def _task_legend(self) -> str:
        names = self._names[: len(self._tasks)]
        if len(names) > MOST_NUMBERED:
            return ""
        colours = map(svg.task_colour, range(len(names)))
        return _legend(dict(zip(names, colours)))

    def _accuracy_matrix(self) -> str:
        says = "Row: after which task. Column: tested on which task."
        known = self._matrix[np.isfinite(self._matrix)]
        if not known.size:
            return ""
        low = float(known.min())
        span = float(known.max()) - low or 1.0
        form = ".1%" if self._is_percent else ".4f"
        return self._matrix_of(
            self._matrix, says, form, lambda v: 0.3 + 0.7 * (v - low) / span
        )

    def _overlap(self) -> str:
        says = (
            "Slots in both masks divided by slots in either, over all kernels."
        )
        overlap = mask_overlap(self._bank)
        return self._matrix_of(overlap, says, ".2f", lambda value: value)

    def _matrix_of(
        self,
        values: np.ndarray,
        says: str,
        form: str,
        level: Callable[[Any], Any],
    ) -> str:
        intro, count = f'<p class="faint">{escaped(says)}</p>', len(values)
        if count > MOST_NUMBERED:
            drawing = svg.heat_map(level(values), says)
            return f'{intro}<div class="map">{drawing}</div>'
        names = self._names[:count]
        columns = [Column(""), *(Column(name, form) for name in names)]
        rows = [
            [name, *(float(v) if math.isfinite(v) else None for v in row)]
            for name, row in zip(names, values)
        ]

        def style(value):
            if not isinstance(value, float):
                return ""
            return f"background:rgb(var(--heat)/{svg.shade(level(value)):.2f})"

        table = Table(columns, rows).to_html(style)
        return f'{intro}<div class="scroll matrix">{table}</div>'

    def _task_table(self) -> str:
        form = ".2%" if self._is_percent else ".4f"
        qualities = "trained", "stored", "loss", "allowed"
        columns = (
            *(Column(name) for name in ("task", "plane", "sparsity", "bits")),
            *(Column("own", ",d"), Column("shared", ",d")),
            *(Column(name, form) for name in qualities),
            Column("kept"),
        )
        rows = [self._task_row(task) for task in self._tasks]
        parts = [_scroll(Table(columns, rows))]
        warnings = [
            f"<li><b>{escaped(task.get('name'))}</b>: {escaped(text)}</li>"
            for task in self._tasks
            for text in task.get("warnings") or ()
        ]
        listed = f'<ul class="warn">{"".join(warnings)}</ul>'
        if not warnings:
            listed = '<p class="faint">No warnings.</p>'
        elif len(warnings) > MOST_WARNINGS:
            listed = _fold(f"{len(warnings)} warnings", listed)
        parts.append(listed)
        parts.append(self._folded("What each task shares", "sharing"))
        parts.append(self._folded_kernels())
        parts.append(self._folded("Classes", "class_names"))
        return "".join(parts)

    def _task_row(self, task: Mapping[str, Any]) -> list:
        return [
            task.get("name"),
            task.get("plane"),
            _range(task.get("sparsity"), "{:.1%}"),
            _range(task.get("bits"), "{}"),
            sum((task.get("own") or {}).values()),
            sum((task.get("shared") or {}).values()),
            *map(task.get, ("quality_before", "quality_after")),
            *map(task.get, ("loss", "allowed_loss")),
            {True: "yes", False: "no"}.get(task.get("kept")),
        ]

    def _folded_kernels(self) -> str:
        columns = (
            *(Column("task"), Column("kernel"), Column("sparsity", ".1%")),
            *(Column("bits"), Column("own", ",d"), Column("shared", ",d")),
        )
        rows = [
            (
                *(task.get("name"), path, sparsity),
                *((task.get(k) or {}).get(path) for k in ("bits", "own")),
                (task.get("shared") or {}).get(path),
            )
            for task in self._tasks
            for path, sparsity in (task.get("sparsity") or {}).items()
        ]
        return _folded("Each kernel of each task", Table(columns, rows))

    def _folded(self, heading: str, key: str) -> str:
        """An entry of each task that has it."""
        rows = [
            (task.get("name"), _joined(task[key]))
            for task in self._tasks
            if task.get(key)
        ]
        table = Table((Column("task"), Column(heading.lower())), rows)
        return _folded(heading, table, "wide")

    def _occupancy(self) -> str:
        kernels = occupancy(self._bank)
        drawn = [self._kernel(kernel) for kernel in kernels]
        count = len(kernels[0].slots) if kernels else 0
        intro = (
            '<p class="faint">Every slot has 32 bits, the size of the float32 '
            f"that it replaces. Each picture shows {count} slots of a kernel, "
            "the fullest first; the height is 32 bits, a colour is the task "
            "that owns them, grey is free.</p>"
        )
        shown, folded = drawn[:MOST_OPEN_KERNELS], drawn[MOST_OPEN_KERNELS:]
        content = intro + self._task_legend() + "".join(shown)
        if folded:
            content += _fold(f"{len(folded)} more kernels", "".join(folded))
        return content

    def _kernel(self, kernel: KernelOccupancy) -> str:
        says = f"Who owns the bits of {kernel.path}"
        return (
            f'<h3>{escaped(kernel.path)}</h3><p class="faint">'
            f"{kernel.size:,} slots, {kernel.fraction:.1%} of their bits used, "
            f"at most {kernel.most} of 32 in a slot</p>"
            f'<div class="slots">{svg.slot_columns(kernel.slots, says)}</div>'
        )

    def _bytes(self) -> str:
        capacity = self._report["capacity"]
        dense, total = capacity["dense_bytes"], capacity["total_bytes"]
        kinds = sorted(capacity["bytes"].items(), key=lambda kind: -kind[1])
        full = max(dense, total, 1)
        parts = [
            '<p class="faint">Grey is what is left of one dense network, '
            f"{dense:,} bytes.</p>",
            "<h3>By kind</h3>",
            _bar(kinds, full, _shades(len(kinds))),
            _scroll(_shares("kind", kinds, total)),
        ]
        if self._bank is not None:
            parts += self._bytes_by_task(total, full)
        return "".join(parts)

    def _bytes_by_task(self, total: int, full: int) -> list[str]:
        by_task = bytes_by_task(self._bank)
        sums = {task: sum(sizes.values()) for task, sizes in by_task.items()}
        common = total - sum(sums.values())
        sizes = [*sums.items(), ("in common", common)]
        colours = [*map(svg.task_colour, range(len(sums))), "var(--faint)"]
        kinds = list(next(iter(by_task.values())))
        columns = [Column("task"), *(Column(kind, ",d") for kind in kinds)]
        columns += [Column("bytes", ",d"), Column("share", ".1%")]
        rows = [
            [task, *found.values(), sums[task], sums[task] / (total or 1)]
            for task, found in by_task.items()
        ]
        nothing = [None] * len(kinds)
        rows.append(["in common", *nothing, common, common / (total or 1)])
        table, heading = Table(columns, rows), "Bytes of each task"
        is_short = len(rows) <= MOST_NUMBERED
        return [
            "<h3>By task</h3>",
            _bar(sizes, full, colours),
            _scroll(table) if is_short else _folded(heading, table),
        ]

    def _settings(self) -> str:
        report = self._report
        others = {k: v for k, v in report.items() if k not in _PLACED}
        parts = [
            (heading, entries)
            for heading, entries in (
                ("Settings of the run", report.get("config")),
                ("Versions", report.get("versions")),
                ("Further entries", others),
            )
            if entries
        ]
        return "".join(
            f"<h3>{heading}</h3>{_scroll(_entries(entries), 'wide')}"
            for heading, entries in parts
        )

    def _footer(self) -> str:
        version = (self._report.get("versions") or {}).get("tsn_keras")
        return (
            f"<footer>Written by tsn_keras {escaped(version or '')}. All "
            "numbers are in report.json.</footer>"
        )


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escaped(heading)}</h2>{content}</section>"


def _tile(name: str, value: str, says: str, kind: str = "") -> str:
    return (
        f'<section><p class="faint">{escaped(name)}</p><b class="{kind}">'
        f'{escaped(value)}</b><p class="faint">{escaped(says)}</p></section>'
    )


def _scroll(table: Table, kind: str = "") -> str:
    """A table that scrolls by itself where it is wider than the page."""
    content = table.to_html(most_rows=MOST_ROWS)
    return f'<div class="scroll {kind}">{content}</div>'


def _folded(heading: str, table: Table, kind: str = "") -> str:
    return _fold(heading, _scroll(table, kind)) if table.rows else ""


def _fold(heading: str, content: str) -> str:
    summary = f"<summary>{escaped(heading)}</summary>"
    return f"<details>{summary}{content}</details>"


def _bar(
    sizes: Sequence[tuple[str, int]], full: int, colours: Sequence[str]
) -> str:
    """A bar of sizes side by side, and what the colours stand for."""
    parts = [(*each, c) for each, c in zip(sizes, colours) if each[1]]
    pieces = "".join(
        f'<i title="{escaped(name)}" style="width:{100 * size / full:.3f}%;'
        f'background:{colour}"></i>'
        for name, size, colour in parts
    )
    names = {name: colour for name, _, colour in parts}
    legend = _legend(names) if len(names) <= MOST_NUMBERED else ""
    return f'<div class="bar">{pieces}</div>{legend}'


def _shades(count: int) -> list[str]:
    return [
        f"rgb(var(--heat)/{0.95 - 0.8 * index / max(1, count - 1):.2f})"
        for index in range(count)
    ]


def _legend(colours: Mapping[str, str]) -> str:
    items = "".join(
        f'<li><i style="background:{colour}"></i>{escaped(name)}</li>'
        for name, colour in colours.items()
    )
    return f'<ul class="legend">{items}</ul>'


def _shares(name: str, sizes: Sequence[tuple[str, int]], total: int) -> Table:
    columns = Column(name), Column("bytes", ",d"), Column("share", ".1%")
    rows = [(each, size, size / (total or 1)) for each, size in sizes]
    return Table(columns, rows)


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))


def _entries(entries: Mapping[str, Any]) -> Table:
    rows = [
        (key, value if isinstance(value, str) else json.dumps(value))
        for key, value in entries.items()
    ]
    return Table((Column("name"), Column("value")), rows)


def _range(values: Mapping[str, float] | None, form: str) -> str | None:
    """Returns the lowest and the highest of some values."""
    if not values:
        return None
    ends = [form.format(each(values.values())) for each in (min, max)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
