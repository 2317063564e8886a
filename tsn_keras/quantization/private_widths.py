"""The search for the smallest width of each private variable."""

import warnings
from collections.abc import Callable, Iterator

import numpy as np

from tsn_keras.bank import FLOAT_WIDTH, PrivateCode
from tsn_keras.quantization.width_search import by_size, halves

WIDTHS = (2, 3, 4, 5, 6, 8, 16, FLOAT_WIDTH)
# Variables of fewer entries are not searched: that would save too little.
SMALL = 64
# Nor are groups with less than this part of all entries divided.
WORTHWHILE = 1 / 4


def search_private_widths(
    values: list[np.ndarray],
    quality: Callable[[list[PrivateCode]], float],
    acceptable: float,
    narrowest: int = WIDTHS[0],
) -> list[PrivateCode]:
    """Returns private variables in as few bits as the quality allows.

    First all get the smallest common width that is acceptable, by bisection.
    Then the larger ones get fewer bits, in groups of about equal size, as long
    as that is acceptable. If no width is acceptable they stay float32. Ctrl-C
    ends the search with the fewest bits that were acceptable so far.
    """
    best = _encoded(values, FLOAT_WIDTH)
    try:
        for best in _ever_fewer(values, quality, acceptable, narrowest):
            pass
    except KeyboardInterrupt:
        warnings.warn(
            "The search for the fewest bits of private variables was "
            "interrupted. The fewest that held so far are taken.",
            stacklevel=7,
        )
    return best


def _encoded(values: list[np.ndarray], width: int) -> list[PrivateCode]:
    return [PrivateCode.encode(value, width) for value in values]


def _ever_fewer(
    values: list[np.ndarray],
    quality: Callable[[list[PrivateCode]], float],
    acceptable: float,
    narrowest: int,
) -> Iterator[list[PrivateCode]]:
    """Gives what is acceptable, each time in fewer bits."""
    widths = [w for w in WIDTHS if w >= narrowest]
    # By bisection: the place of the narrowest that is acceptable.
    low, high = 0, len(widths) - 1
    while low < high:
        middle = (low + high) // 2
        codes = _encoded(values, widths[middle])
        if quality(codes) >= acceptable:
            high = middle
            yield codes
        else:
            low = middle + 1
    width, codes = widths[high], _encoded(values, widths[high])
    sizes = [value.size if value.size >= SMALL else 0 for value in values]
    large = by_size(sizes)
    if not large:
        return
    # One bit less for all of them is not acceptable.
    groups = list(halves(large, sizes, WORTHWHILE) or [large])
    for narrower in reversed([w for w in widths if w < width]):
        narrowed = []
        while groups:
            group = groups.pop()
            trial = list(codes)
            for index in group:
                trial[index] = PrivateCode.encode(values[index], narrower)
            if quality(trial) >= acceptable:
                codes = trial
                narrowed.append(group)
                yield codes
            else:
                groups += halves(group, sizes, WORTHWHILE) or ()
        groups = narrowed
