"""The search for the smallest width of each private variable."""

from collections.abc import Callable

import numpy as np

from tsn_keras.bank import PrivateCode
from tsn_keras.bank.component import FLOAT_WIDTH

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

    All together get the first width that is acceptable; then the larger ones
    get fewer bits, each for itself.

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
    for index in np.argsort([-value.size for value in values], kind="stable"):
        if values[index].size >= SMALL:
            codes = _narrowed(codes, values[index], index, quality, acceptable)
    return codes


def _narrowed(codes, value, index, quality, acceptable) -> list[PrivateCode]:
    """Gives one private variable the fewest bits that are acceptable."""
    for width in reversed([w for w in WIDTHS if w < codes[index].width]):
        trial = list(codes)
        trial[index] = PrivateCode.encode(value, width)
        if quality(trial) < acceptable:
            break
        codes = trial
    return codes
