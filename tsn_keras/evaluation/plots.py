"""Pictures of what a run measured, and of what its weight bank holds."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tsn_keras.bank import SLOT_BITS, WeightBank
from tsn_keras.data import check_numbers, check_paths, shown
from tsn_keras.evaluation.accuracy_matrix import AccuracyMatrix
from tsn_keras.evaluation.occupancy import mask_overlap, occupancy
from tsn_keras.evaluation.published import PUBLISHED, SOURCE
from tsn_keras.evaluation.svg import task_colour
from tsn_keras.files import complete_file
from tsn_keras.tables import shortened, text_width

_INK = "#22313f"
_FAINT = "#b8c2cc"
_LOST = "#c0392b"
_OURS = "#1a6994"
_LABEL = {
    "va": "center",
    "fontsize": 9,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    # Above the grid lines, which are drawn at 0.5, and below the bars, at 1.
    "zorder": 0.9,
}
# Names are no mathematics, whatever dollars they hold.
_AS_IT_IS = {"parse_math": False, "usetex": False}
_LONGEST_NAME, _LONGEST_TITLE = 32, 90
# Where a name may stand beside a point: right or left, above or below, near or
# farther off.
_SIDES = tuple((x, s * y) for y in (1, 3, 5) for s in (1, -1) for x in (1, -1))
# Accuracies so far below the best are not drawn where they are.
_FAR_BELOW = 0.12
# Beyond this many tasks the numbers in the cells can no longer be read.
_MAX_ANNOTATED = 20


def plot_accuracy_matrix(
    matrix: AccuracyMatrix,
    path: str | os.PathLike,
    title: str = "Accuracy on each task after each task",
) -> None:
    """Draws an accuracy matrix as a heat map with percentages.

    Args:
        matrix: Qualities between 0 and 1.
        path: The picture to write; its ending says the format.
    """
    check_matrix(matrix)
    check_paths(path=path)
    percent = 100 * matrix.values
    known = percent[~np.isnan(percent)]
    low = max(0.0, float(known.min()) - 5.0) if known.size else 0.0
    figure, axes = _matrix_figure(len(matrix))
    _draw_matrix(figure, axes, percent, (low, 100.0), _names(matrix))
    axes.set_xlabel("evaluated on task", color=_INK)
    axes.set_ylabel("after learning task", color=_INK)
    figure.axes[-1].set_ylabel("accuracy (%)", color=_INK)
    _set_title(axes, title)
    _save(figure, path)


def plot_accuracy_over_time(
    matrix: AccuracyMatrix,
    path: str | os.PathLike,
    title: str = "Accuracy on each task as more are learned",
) -> None:
    """Draws a line for each task: its quality after every later task.

    Args:
        matrix: Qualities between 0 and 1.
        path: The picture to write; its ending says the format.
    """
    check_matrix(matrix)
    check_paths(path=path)
    count, names = len(matrix), _names(matrix)
    figure = _figure(min(5.5 + 0.4 * count, 14), 4.2)
    axes = figure.add_subplot()
    for number, column in enumerate(matrix.values.T):
        rows = np.flatnonzero(~np.isnan(column))
        if rows.size:
            axes.plot(
                rows + 1,
                100 * column[rows],
                color=task_colour(number),
                marker="o",
                markersize=4,
                label=names[number],
            )
    axes.set_xlim(0.5, count + 0.5)
    _whole_numbers(axes.xaxis)
    axes.set_xlabel("tasks learned", color=_INK)
    axes.set_ylabel("accuracy (%)", color=_INK)
    _clear(axes, "y")
    _set_title(axes, title)
    if count <= _MAX_ANNOTATED:
        _legend_beside(axes)
    _save(figure, path)


def plot_occupancy(
    bank: WeightBank,
    path: str | os.PathLike,
    title: str = "Who owns which bits of the slots",
) -> None:
    """Draws for each kernel which task owns which bits of its slots.

    Each column is a slot, the fullest first, and 32 bits high.

    Args:
        bank: `model.bank`.
        path: The picture to write; its ending says the format.
    """
    check_paths(path=path)
    kernels = occupancy(bank)
    count = max(1, len(kernels))
    figure = _figure(9.0, min(1.4 + 1.15 * count, 60))
    rows = np.atleast_1d(figure.subplots(count, 1, squeeze=False)[:, 0])
    for axes, kernel in zip(rows, kernels):
        _draw_slots(axes, kernel)
    if not kernels:
        rows[0].set_axis_off()
    if 0 < len(bank.tasks) <= _MAX_ANNOTATED:
        _legend_of_tasks(figure, bank.tasks)
    figure.suptitle(_title(title), color=_INK, fontsize=12, **_AS_IT_IS)
    _save(figure, path)


def plot_mask_overlap(
    bank: WeightBank,
    path: str | os.PathLike,
    title: str = "How far masks overlap",
) -> None:
    """Draws the slots in both of two tasks' masks, divided by those in either.

    Args:
        bank: `model.bank`.
        path: The picture to write; its ending says the format.
    """
    check_paths(path=path)
    percent = 100 * mask_overlap(bank)
    figure, axes = _matrix_figure(max(1, len(percent)))
    _draw_matrix(figure, axes, percent, (0.0, 100.0), list(bank.tasks))
    figure.axes[-1].set_ylabel("slots in common (%)", color=_INK)
    _set_title(axes, title)
    _save(figure, path)


def plot_accuracy_against_bytes(
    results: Mapping[str, Sequence[float]],
    path: str | os.PathLike,
    published: str | None = None,
    title: str = "Accuracy against size",
) -> None:
    """Draws results beside published ones.

    What is far below the best stands at the lower edge, with its accuracy.

    Args:
        results: Of each run its average accuracy, between 0 and 1, and its part
            of one dense network, as `capacity().fraction`.
        path: The picture to write; its ending says the format.
        published: A benchmark of `tsn_keras.evaluation.PUBLISHED`.

    Raises:
        ValueError: If the benchmark is unknown.

    Example:

    ```python
    report = json.loads(pathlib.Path("run/report.json").read_text())
    accuracy = report["metrics"]["average_accuracy"]
    results = {"ours": (accuracy, report["capacity"]["fraction"])}
    plot_accuracy_against_bytes(results, "sizes.png", "permuted_mnist")
    ```
    """
    check_results(results)
    check_paths(path=path)
    if published is not None and published not in PUBLISHED:
        raise ValueError(
            f"`published` must be one of {sorted(PUBLISHED)}, or None. "
            f"Received: {published!r}"
        )
    figure = _figure(7.5, 4.8)
    axes = figure.add_subplot()
    ours = [(name, *numbers) for name, numbers in results.items()]
    others = PUBLISHED.get(published, ())
    points = [*ours, *others]
    axes.set_xscale("log")
    if points:
        _, accuracies, parts = zip(*points)
        # Names want room on both sides.
        axes.set_xlim(min(parts) / 2.0, max(parts) * 3.0)
        near = [a for a in accuracies if a >= max(accuracies) - _FAR_BELOW]
        margin = 0.1 * np.ptp(near) or 0.01
        low, high = min(near) - margin, max(near) + margin
        axes.set_ylim(100 * low, 100 * high)
        ours, others = _not_below(ours, low), _not_below(others, low)
    kinds = [
        (ours, _OURS, "o", "measured, every byte counted"),
        (others, _INK, "s", SOURCE),
    ]
    _draw_points(axes, kinds)
    axes.xaxis.set_major_formatter(lambda part, _: f"{100 * part:,.6g} %")
    axes.xaxis.set_minor_formatter(lambda part, _: "")
    axes.set_xlabel("size beside one dense network", color=_INK)
    axes.set_ylabel("average accuracy (%)", color=_INK)
    _clear(axes, "both")
    _set_title(axes, title)
    if points:
        place = {"loc": "outside lower center", "ncols": 2}
        figure.legend(**place, fontsize=8, labelcolor=_INK, frameon=False)
    _save(figure, path)


def plot_capacity(
    capacity: Any,
    path: str | os.PathLike,
    title: str = "Where the bytes go",
) -> None:
    """Draws the bytes of the weight bank by kind, and against a dense network.

    The upper bar stacks the kinds. A line marks the size of one dense float32
    network. The lower bars show each kind.

    Args:
        capacity: What `ContinualModel.capacity()` returned.
        path: The picture to write; its ending says the format.
    """
    check_capacity(capacity)
    check_paths(path=path)
    kinds = sorted(capacity.bytes.items(), key=lambda item: -item[1])
    figure = _figure(8.0, 2.6 + 0.38 * len(kinds))
    ratios = [1.0, 0.5 + 0.42 * len(kinds)]
    top, bottom = figure.subplots(2, 1, height_ratios=ratios)
    colours = _colours(len(kinds))
    _draw_total(top, capacity, kinds, colours)
    _draw_kinds(bottom, capacity.total_bytes, kinds, colours)
    size, percent = _bytes(capacity.total_bytes), 100 * capacity.fraction
    text = f"{title}: {size}, {percent:.1f} % of one dense network"
    figure.suptitle(_title(text), color=_INK, fontsize=12, **_AS_IT_IS)
    _save(figure, path)


def check_matrix(matrix: Any) -> None:
    """Refuses all but accuracy matrices."""
    if not isinstance(matrix, AccuracyMatrix):
        raise TypeError(
            "`matrix` must be a tsn_keras.evaluation.AccuracyMatrix. "
            f"Received: matrix={shown(matrix)}"
        )


def check_capacity(capacity: Any) -> None:
    """Refuses what `ContinualModel.capacity` does not return."""
    if not hasattr(capacity, "total_bytes"):
        raise TypeError(
            "`capacity` must be what `ContinualModel.capacity()` returned. "
            f"Received: capacity={shown(capacity)}"
        )


def check_results(results: Any) -> None:
    """Refuses what does not tell an accuracy and a size for each name."""
    if not isinstance(results, Mapping):
        raise TypeError(
            "`results` must be a dict of accuracies and parts of one dense "
            f"network by name. Received: results={shown(results)}"
        )
    for name, numbers in results.items():
        is_pair = isinstance(numbers, Sequence) and len(numbers) == 2
        if not is_pair or isinstance(numbers, str):
            raise ValueError(
                f"`results[{name!r}]` must be a pair of accuracy and part of "
                f"one dense network. Received: {shown(numbers)}"
            )
        for number in numbers:
            check_numbers(**{f"results[{name!r}]": number})
        if not (np.isfinite(numbers).all() and numbers[1] > 0):
            raise ValueError(
                f"`results[{name!r}]` must be finite, and the size above 0. "
                f"Received: {shown(numbers)}"
            )


def _figure(width, height):
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Plots need Matplotlib. Install it with `pip install matplotlib`."
        ) from error
    # Not pyplot: it keeps every figure alive and may look for a display.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path):
    with complete_file(path) as file:
        figure.savefig(file, dpi=150, bbox_inches="tight", pad_inches=0.15)


def _names(matrix):
    names = matrix.names or range(len(matrix))
    return [_label(str(name)) for name in names]


def _label(name):
    return shortened(name, _LONGEST_NAME)


def _title(text):
    return shortened(text, _LONGEST_TITLE)


def _set_title(axes, title):
    axes.set_title(_title(title), color=_INK, fontsize=12, pad=12, **_AS_IT_IS)


def _matrix_figure(count):
    figure = _figure(min(3.4 + 0.62 * count, 16), min(2.2 + 0.5 * count, 14))
    return figure, figure.add_subplot()


def _draw_matrix(figure, axes, percent, limits, names):
    """Draws cells, and a bar of colours as the figure's last axes."""
    low, high = limits
    cells = np.ma.masked_invalid(percent)
    if not cells.size:
        cells = np.ma.masked_all((1, 1))
    image = axes.imshow(cells, cmap="YlGnBu", vmin=low, vmax=high)
    axes.set_facecolor("#f4f6f8")
    if len(names) <= _MAX_ANNOTATED:
        _annotate(axes, percent, low)
    _task_ticks(axes, names)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.outline.set_visible(False)


def _draw_slots(axes, kernel):
    import matplotlib.colors

    colours = np.full((SLOT_BITS, max(1, len(kernel.slots)), 3), 0.92)
    for column, slot in enumerate(kernel.slots):
        start = 0
        for number, width in slot:
            rgb = matplotlib.colors.to_rgb(task_colour(number))
            colours[start : start + width, column] = rgb
            start += width
    size = (0, len(kernel.slots), 0, SLOT_BITS)
    axes.imshow(colours, aspect="auto", origin="lower", extent=size)
    axes.set_xticks([])
    axes.set_yticks([0, SLOT_BITS])
    axes.tick_params(length=0, labelsize=8, colors=_INK)
    axes.spines[:].set_visible(False)
    text = f"{_title(kernel.path)}: {kernel.size:,} slots, "
    text += f"{kernel.fraction:.1%} of their bits used"
    axes.set_title(text, loc="left", color=_INK, fontsize=9, **_AS_IT_IS)


def _legend_of_tasks(figure, names):
    from matplotlib.patches import Patch

    patches = [Patch(color=task_colour(n)) for n in range(len(names))]
    legend = figure.legend(
        *(patches, [_label(name) for name in names]),
        loc="outside right upper",
        fontsize=8,
        frameon=False,
    )
    _as_they_are(legend)


def _legend_beside(axes):
    if axes.lines:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
        _as_they_are(axes.legend(**place, fontsize=8, frameon=False))


def _as_they_are(legend):
    for text in legend.get_texts():
        text.update(_AS_IT_IS)


def _not_below(points, lowest):
    """Puts lower points at the lowest place, with their accuracy."""
    cut = _LONGEST_NAME - len(" (100 %)")
    return [
        (n, a, part) if a >= lowest else
        (f"{shortened(n, cut)} ({100 * a:.0f} %)", lowest, part)
        for n, a, part in points
    ]


def _draw_points(axes, kinds):
    """Draws points, and names beside them that do not lie on each other."""
    for points, colour, marker, label in kinds:
        if points:
            _, accuracies, parts = zip(*points)
            percent = [100 * accuracy for accuracy in accuracies]
            style = {"marker": marker, "color": colour, "label": label}
            axes.plot(parts, percent, linestyle="none", clip_on=False, **style)
    # Where things are is known once they were laid out.
    axes.figure.draw_without_rendering()
    places = [
        (shortened(name, _LONGEST_NAME), part, 100 * accuracy, colour)
        for points, colour, *_ in kinds
        for name, accuracy, part in points
    ]
    to_pixels = axes.transData.transform
    points = [to_pixels(place[1:3]) for place in places]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    for name, *place, colour in places:
        boxes = {s: _text_box(to_pixels(place), name, s) for s in _SIDES}
        within = axes.figure.bbox.contains
        free = [
            side
            for side, box in boxes.items()
            if within(*box[:2]) and within(*box[2:])
            and not any(_meet(box, other) for other in taken)
        ]
        side = (free or _SIDES)[0]
        taken.append(boxes[side])
        axes.annotate(
            name,
            place,
            xytext=(6 * side[0], 6 * side[1]),
            textcoords="offset points",
            ha="left" if side[0] > 0 else "right",
            va="bottom" if side[1] > 0 else "top",
            fontsize=8,
            color=colour,
            **_AS_IT_IS,
        )


def _text_box(at, text, side):
    """The edges of a text at a side of a point, about, in pixels."""
    points = 100 / 72
    ends = 6 * points, (6 + 4.6 * text_width(text)) * points
    left, right = sorted(at[0] + end * side[0] for end in ends)
    near = 6 * points * side[1]
    low, high = sorted((near, near + math.copysign(10 * points, side[1])))
    low, high = at[1] + low, at[1] + high
    return left, low, right, high


def _meet(one, other):
    beside = one[2] < other[0] or other[2] < one[0]
    return not (beside or one[3] < other[1] or other[3] < one[1])


def _whole_numbers(axis):
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(12, integer=True))


def _clear(axes, grid):
    axes.tick_params(which="both", length=0, labelsize=9, colors=_INK)
    axes.grid(axis=grid, color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _annotate(axes, percent, low):
    for (row, column), value in np.ndenumerate(percent):
        if np.isnan(value):
            continue
        text = f"{value:.1f}"
        ink = "white" if value - low > 0.55 * (100 - low) else _INK
        axes.text(
            column, row, text, ha="center", va="center", fontsize=8, color=ink
        )


def _task_ticks(axes, names):
    count = len(names)
    step = max(1, -(-count // _MAX_ANNOTATED))
    shown = range(0, count, step)
    labels = [names[i] for i in shown]
    long = max(map(len, labels), default=0) > 4
    slope, side = (40, "right") if long else (0, "center")
    labels = [_label(label) for label in labels]
    axes.set_xticks(
        *(shown, labels),
        rotation=slope,
        ha=side,
        rotation_mode="anchor",
        **_AS_IT_IS,
    )
    axes.set_yticks(shown, labels, **_AS_IT_IS)
    axes.set_xticks(np.arange(count - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0, labelsize=8, colors=_INK)
    axes.spines[:].set_visible(False)


def _draw_total(axes, capacity, kinds, colours):
    start = 0
    for (_, size), colour in zip(kinds, colours):
        axes.barh(0, size, left=start, color=colour, height=0.6)
        start += size
    dense = capacity.dense_bytes
    axes.axvline(dense, color=_LOST, linewidth=1.5)
    limit = 1.04 * max(capacity.total_bytes, dense)
    text = f" one dense network, {_bytes(dense)} "
    side = "left" if dense < 0.5 * limit else "right"
    axes.text(dense, 0.62, text, ha=side, color=_LOST, **_LABEL)
    axes.set_xlim(0, limit)
    axes.set_ylim(-0.4, 0.9)
    axes.set_yticks([0], ["weight bank"])
    _byte_axis(axes)


def _draw_kinds(axes, total, kinds, colours):
    positions = range(len(kinds))
    sizes = [size for _, size in kinds]
    axes.barh(positions, sizes, color=colours, height=0.68)
    for position, size in zip(positions, sizes):
        share = 100 * size / total if total else 0.0
        text = f" {_bytes(size)}, {share:.1f} %"
        axes.text(size, position, text, color=_INK, **_LABEL)
    axes.set_xlim(0, 1.3 * max(sizes, default=1) or 1)
    names = [_label(kind.replace("_", " ")) for kind, _ in kinds]
    axes.set_yticks(positions, names, **_AS_IT_IS)
    axes.invert_yaxis()
    axes.set_xlabel("bytes, and share of the weight bank", color=_INK)
    _byte_axis(axes)


def _byte_axis(axes):
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_formatter(lambda size, _: _bytes(size))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    _clear(axes, "x")


def _colours(count):
    import matplotlib

    return matplotlib.colormaps["viridis"](np.linspace(0.15, 0.85, count))


def _bytes(size):
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.4g} {unit}"
    return f"{size:.0f} B"
