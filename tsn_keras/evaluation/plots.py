"""Pictures of an accuracy matrix and of where the bytes go."""

import os
from typing import Any

import numpy as np

from tsn_keras.data import check_paths, shown
from tsn_keras.evaluation.accuracy_matrix import AccuracyMatrix
from tsn_keras.files import complete_file

_INK = "#22313f"
_FAINT = "#b8c2cc"
_LOST = "#c0392b"
_LABEL = {
    "va": "center",
    "fontsize": 9,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    # Above the grid lines, which are drawn at 0.5, and below the bars, at 1.
    "zorder": 0.9,
}
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
    count = len(matrix)
    names = [str(name) for name in matrix.names or range(count)]
    figure = _figure(min(3.4 + 0.62 * count, 16), min(2.2 + 0.5 * count, 14))
    axes = figure.add_subplot()
    known = percent[~np.isnan(percent)]
    low = max(0.0, float(known.min()) - 5.0) if known.size else 0.0
    shown = np.ma.masked_invalid(percent)
    image = axes.imshow(shown, cmap="YlGnBu", vmin=low, vmax=100)
    axes.set_facecolor("#f4f6f8")
    if count <= _MAX_ANNOTATED:
        _annotate(axes, percent, low)
    _task_ticks(axes, names)
    axes.set_xlabel("evaluated on task", color=_INK)
    axes.set_ylabel("after learning task", color=_INK)
    axes.set_title(title, color=_INK, fontsize=12, pad=12)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label("accuracy (%)", color=_INK)
    bar.outline.set_visible(False)
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
    figure.suptitle(text, color=_INK, fontsize=12)
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
    long = max(map(len, labels)) > 4
    slope, side = (40, "right") if long else (0, "center")
    axes.set_xticks(
        shown, labels, rotation=slope, ha=side, rotation_mode="anchor"
    )
    axes.set_yticks(shown, labels)
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
    axes.set_yticks(positions, [kind.replace("_", " ") for kind, _ in kinds])
    axes.invert_yaxis()
    axes.set_xlabel("bytes, and share of the weight bank", color=_INK)
    _byte_axis(axes)


def _byte_axis(axes):
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_formatter(lambda size, _: _bytes(size))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(length=0, labelsize=9, colors=_INK)
    axes.grid(axis="x", color=_FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _colours(count):
    import matplotlib

    return matplotlib.colormaps["viridis"](np.linspace(0.15, 0.85, count))


def _bytes(size):
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.4g} {unit}"
    return f"{size:.0f} B"
