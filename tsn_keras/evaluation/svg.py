"""Drawings of a report, as SVG that takes any width and either theme.

They hold shapes alone: a drawing is stretched to the width of the page, and
text would be stretched with it.
"""

import colorsys
from collections.abc import Iterable, Sequence

import numpy as np

from tsn_keras.bank import SLOT_BITS
from tsn_keras.tables import escaped

# Shades of a heat map.
LEVELS = 16
# Of more lines only the ends have dots.
MOST_DOTTED = 20


def task_colour(number: int) -> str:
    """Returns a colour that is far from those of the tasks before.

    It is as light as can be read on white and on black.
    """
    hue = (211 + 137.508 * number) % 360
    lightness = (0.54, 0.66, 0.43)[number // 8 % 3]
    rgb = colorsys.hls_to_rgb(hue / 360, lightness, 0.62)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def drawing(content: str, width: float, height: float, says: str) -> str:
    """Returns a drawing, stretched to the box that it lies in."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escaped(says)}">{content}</svg>'
    )


def lines(
    series: Sequence[Sequence[tuple[float, float]]],
    names: Sequence[str],
    grid: Iterable[float],
    says: str,
) -> str:
    """Draws a line for each task, whose points lie between 0 and 1."""
    parts = [f'<path class="grid" d="M0 {100 - 100 * y:g}h100"/>' for y in grid]
    for number, (points, name) in enumerate(zip(series, names)):
        if not points:
            continue
        places = [f"{100 * x:.2f} {100 - 100 * y:.2f}" for x, y in points]
        # A line without length and with round ends is a dot of any width.
        dotted = places if len(series) <= MOST_DOTTED else places[-1:]
        dots = "".join(f"M{place}h0" for place in dotted)
        parts.append(
            f'<g stroke="{task_colour(number)}"><title>{escaped(name)}</title>'
            f'<path class="line" d="M{"L".join(places)}"/>'
            f'<path class="dots" d="{dots}"/></g>'
        )
    return drawing("".join(parts), 100, 100, says)


def heat_map(values: np.ndarray, says: str) -> str:
    """Draws values between 0 and 1 as shades; NaN is left free."""
    rows, columns = values.shape
    cells: dict[int, list[str]] = {}
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            level = round(LEVELS * min(max(value, 0.0), 1.0))
            cells.setdefault(level, []).append(f"M{column} {row}h1v1h-1z")
    content = "".join(
        f'<path class="heat" opacity="{0.06 + 0.94 * level / LEVELS:.2f}" '
        f'd="{"".join(places)}"/>'
        for level, places in sorted(cells.items())
    )
    return drawing(content, columns, rows, says)


def shade(value: float) -> float:
    """Returns how opaque a cell of a value between 0 and 1 is.

    Text can be read on all of them.
    """
    return 0.04 + 0.46 * value


def slot_columns(slots: Sequence[Sequence[tuple[int, int]]], says: str) -> str:
    """Draws a column for each slot, and in it the bits that tasks own."""
    paths: dict[int, list[str]] = {}
    for start, end, slot in _runs(slots):
        top = SLOT_BITS
        for number, width in slot:
            top -= width
            place = f"M{start} {top}h{end - start}v{width}h{start - end}z"
            paths.setdefault(number, []).append(place)
    content = "".join(
        f'<path fill="{task_colour(number)}" d="{"".join(places)}"/>'
        for number, places in paths.items()
    )
    return drawing(content, max(1, len(slots)), SLOT_BITS, says)


def _runs(slots: Sequence) -> Iterable[tuple[int, int, Sequence]]:
    """Start and end of equal slots that stand side by side."""
    start = 0
    for place in range(1, len(slots) + 1):
        if place == len(slots) or slots[place] != slots[start]:
            yield start, place, slots[start]
            start = place


def ticks(low: float, high: float) -> list[float]:
    """Returns a few round numbers of a range.

    >>> ticks(0.931, 0.986)
    [0.94, 0.95, 0.96, 0.97, 0.98]
    """
    span = high - low or 1.0
    power = 10.0 ** np.floor(np.log10(span / 5))
    step = next(p for p in power * np.array([1, 2, 5, 10]) if span / p < 6)
    numbers = np.arange(np.ceil(low / step - 1e-9), high / step + 1e-9)
    return [float(round(number * step, 10)) for number in numbers]
