"""The search for the smallest width of each private variable."""

import bisect
from collections.abc import Callable

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
    as that is acceptable. If no width is acceptable they stay float32.
    """

    def encoded(width):
        return [PrivateCode.encode(value, width) for value in values]

    widths = [w for w in WIDTHS if w >= narrowest]
    place = bisect.bisect_left(
        widths[:-1], True, key=lambda w: quality(encoded(w)) >= acceptable
    )
    width, codes = widths[place], encoded(widths[place])
    sizes = [value.size if value.size >= SMALL else 0 for value in values]
    large = by_size(sizes)
    if not large:
        return codes
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
            else:
                groups += halves(group, sizes, WORTHWHILE) or ()
        groups = narrowed
    return codes
