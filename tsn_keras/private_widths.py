"""The search for the smallest width of each private variable."""

from collections.abc import Callable

import numpy as np

from tsn_keras.bank import PrivateCode
from tsn_keras.bank.component import FLOAT_WIDTH
from tsn_keras.quantization.groups import by_size, halves

WIDTHS = (2, 3, 4, 5, 6, 8, 16, FLOAT_WIDTH)
# Narrowing a variable of fewer entries saves too little to look for.
SMALL = 64

Quality = Callable[[list[PrivateCode]], float]


def search_private_widths(
    values: list[np.ndarray],
    quality: Quality,
    acceptable: float,
) -> list[PrivateCode]:
    """Finds the smallest widths of private variables that validate.

    All together get the first width that is acceptable. Then the larger ones
    get fewer bits, together as long as that is acceptable, and else in halves.

    Args:
        values: list of arrays, the private variables.
        quality: function of a code for each; higher is better.
        acceptable: float, quality that must be reached.

    Returns:
        list of `PrivateCode`; float32 if no width is acceptable.
    """
    for width in WIDTHS:
        codes = [PrivateCode.encode(value, width) for value in values]
        if quality(codes) >= acceptable:
            break
    else:
        return codes
    sizes = [value.size if value.size >= SMALL else 0 for value in values]
    narrowing = by_size(sizes)
    for narrower in reversed([w for w in WIDTHS if w < width]):
        if not narrowing:
            break
        groups, narrowing = [narrowing], []
        while groups:
            group = groups.pop()
            trial = list(codes)
            for index in group:
                trial[index] = PrivateCode.encode(values[index], narrower)
            if quality(trial) >= acceptable:
                codes = trial
                narrowing += group
            else:
                groups += reversed(halves(group, sizes) or ())
    return codes
