"""Positions of a kernel's entries, coded so that a graph can decode them.

The gaps between rising positions are Rice codes: the lower bits of each as
they are, the rest in unary. Lower bits and unary parts are streams of their
own, so that all entries are decoded at once, without a loop:

    position[i] = sum(low[:i + 1] + 1 - step) + step * ones[i]

where `ones[i]` is the position of the i-th one in the unary stream, and `step`
is two to the power of the number of lower bits. The first gap is longer than it
is by `step - 1`, which this sum subtracts once too often.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class GapCode:
    """Coded positions.

    Args:
        width: int, lower bits of each gap, at least 1.
        low: int array, the lower bits of each.
        high: uint8 array, the unary parts, a one after as many zeros.
        ends: int array, the length of the unary stream after each entry.
    """

    width: int
    low: np.ndarray
    high: np.ndarray
    ends: np.ndarray

    @property
    def step(self) -> int:
        return 2**self.width

    @property
    def num_bits(self) -> int:
        return self.width * self.low.size + int(self.ends.max(initial=0))


def encode_gaps(
    positions: np.ndarray, widths: Sequence[int] = range(1, 17)
) -> GapCode:
    """Encodes rising positions with the width that takes the fewest bits.

    >>> code = encode_gaps(np.array([2, 3, 9]))
    >>> code.width, code.low, code.ends
    (1, array([1, 0, 1]), array([2, 3, 6]))

    Args:
        positions: int array, strictly rising, from 0.
        widths: sequence of int, those to choose from.

    Returns:
        `GapCode`.
    """
    gaps = np.diff(positions, prepend=-1) - 1
    sizes = [width * gaps.size + (gaps >> width).sum() for width in widths]
    width = widths[int(np.argmin(sizes))]
    gaps[:1] += 2**width - 1
    ends = np.cumsum((gaps >> width) + 1)
    unary = np.zeros(ends[-1] if ends.size else 0, np.uint8)
    unary[ends - 1] = 1
    return GapCode(
        width=width,
        low=gaps & (2**width - 1),
        high=np.packbits(unary, bitorder="little"),
        ends=ends,
    )
