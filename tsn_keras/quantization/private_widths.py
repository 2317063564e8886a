"""The search for the smallest width of each private variable."""

from collections.abc import Callable

import numpy as np

from tsn_keras.bank import FLOAT_WIDTH, PrivateCode
from tsn_keras.quantization.width_search import by_size, halves

WIDTHS = (2, 3, 4, 5, 6, 8, 16, FLOAT_WIDTH)
# To narrow a variable of fewer entries saves too little for a search.
SMALL = 64
# So do groups with less than this part of all entries.
WORTHWHILE = 1 / 4

Quality = Callable[[list[PrivateCode]], float]


def search_private_widths(
    values: list[np.ndarray],
    quality: Quality,
    acceptable: float,
) -> list[PrivateCode]:
    """Finds the smallest widths of private variables that validate.

    First all get the smallest common width that is acceptable, by bisection.
    Then the larger ones get fewer bits, in groups of about equal size, as long
    as that is acceptable.

    Args:
        values: the private variables.
        quality: function of their codes; higher is better.
        acceptable: quality that must be reached.

    Returns:
        The codes; float32 if no width is acceptable.
    """
    width, codes = _narrowest_together(values, quality, acceptable)
    sizes = [value.size if value.size >= SMALL else 0 for value in values]
    large = by_size(sizes)
    if not large:
        return codes
    # All of them at once are too narrow with one bit less.
    groups = list(halves(large, sizes, WORTHWHILE) or [large])
    for narrower in reversed([w for w in WIDTHS if w < width]):
        narrowed = []
        while groups:
            group = groups.pop()
            trial = list(codes)
            for index in group:
                trial[index] = PrivateCode.encode(values[index], narrower)
            if quality(trial) >= acceptable:
                codes = trial
                narrowed.append(group)
            else:
                groups += halves(group, sizes, WORTHWHILE) or ()
        groups = narrowed
    return codes


def _narrowest_together(values, quality, acceptable):
    """Returns the smallest acceptable width of all, and their codes."""
    low, high = 0, len(WIDTHS) - 1
    while low < high:
        middle = (low + high) // 2
        codes = [PrivateCode.encode(v, WIDTHS[middle]) for v in values]
        if quality(codes) >= acceptable:
            high = middle
        else:
            low = middle + 1
    width = WIDTHS[low]
    return width, [PrivateCode.encode(value, width) for value in values]
