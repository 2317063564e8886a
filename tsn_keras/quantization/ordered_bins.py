"""Many float32 values in bins of ascending order, without sorting them."""

import numpy as np

_BITS = 20
_SIGN = np.uint32(2**31)


def _keys(values: np.ndarray) -> np.ndarray:
    """The bin of each value: the upper bits of its place among all floats.

    The bits of positive floats ascend with the value; those of negative ones,
    as unsigned numbers, descend.
    """
    # A negative zero becomes a positive one.
    bits = (values + np.float32(0)).view(np.uint32)
    flips = np.where(bits < _SIGN, _SIGN, np.uint32(2**32 - 1))
    return ((bits ^ flips) >> np.uint32(32 - _BITS)).astype(np.int32)


class OrderedBins:
    """The values with the same sign, exponent and 11 bits of the mantissa.

    Args:
        values: float32 array of one axis, finite.

    Attributes:
        points: float64 array, the means of the bins that hold values,
            ascending.
        weights: int64 array, how many values each of these holds.
    """

    def __init__(self, values: np.ndarray):
        self._values = values
        self._keys = _keys(values)
        counts = np.bincount(self._keys, minlength=2**_BITS)
        sums = np.bincount(self._keys, weights=values, minlength=2**_BITS)
        held = np.flatnonzero(counts)
        self.weights = counts[held]
        self.points = sums[held] / self.weights

    def codes(self, bounds: np.ndarray) -> np.ndarray:
        """Returns for each value how many bounds are below it, exactly.

        Args:
            bounds: float64 array, ascending, at most 255.

        Returns:
            uint8 array.
        """
        cut = _keys(bounds.astype(np.float32))
        below = np.bincount(cut + 1, minlength=2**_BITS + 1)
        codes = np.cumsum(below, dtype=np.uint8)[self._keys]
        # Only in a bin that a bound cuts are values on both of its sides.
        is_cut = np.zeros(2**_BITS, bool)
        is_cut[cut] = True
        unsure = np.flatnonzero(is_cut[self._keys])
        codes[unsure] = np.searchsorted(bounds, self._values[unsure])
        return codes
