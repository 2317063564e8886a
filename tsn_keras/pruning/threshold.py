"""The exact mask of the largest magnitudes."""

import numpy as np

_INFINITY_BITS = 0x7F800000


def largest(
    values: np.ndarray, count: int, available: np.ndarray | None = None
) -> np.ndarray:
    """Marks exactly `count` positions with the largest magnitudes.

    The bit pattern of a non-negative float32, read as an integer, has the
    order of the floats. A radix selection over the upper and then the lower
    16 bits of `|values|` therefore finds the `count`-th largest magnitude in
    two histograms, in time linear in the number of values and without
    sorting. Among equal magnitudes the lowest flat index comes first, so
    that the same values always give the same mask.

    >>> largest(np.array([0.5, -3.0, 0.5, 2.0]), count=3)
    array([ True,  True, False,  True])

    Args:
        values: Real array of any shape. Compared as float32.
        count: Number of positions to mark.
        available: Optional `bool` array of the shape of `values`; only
            positions where it is `True` can be marked.

    Returns:
        `bool` array of the shape of `values` with `count` entries `True`.

    Raises:
        ValueError: If `values` contains NaN, `available` is not a `bool`
            array of the same shape, or `count` is negative or larger than
            the number of (available) positions.
    """
    values = np.asarray(values)
    magnitude_bits = _magnitude_bits(values)
    positions = None
    if available is not None:
        available = np.asarray(available)
        if available.shape != values.shape or available.dtype != bool:
            raise ValueError(
                "`available` must be a bool array of the shape of `values`, "
                f"{values.shape}. Received: shape {available.shape}, dtype "
                f"{available.dtype}"
            )
        positions = np.flatnonzero(available)
        magnitude_bits = magnitude_bits[positions]
    if not 0 <= count <= magnitude_bits.size:
        raise ValueError(
            f"`count` must be from 0 to {magnitude_bits.size}, the number of "
            f"available positions out of {values.size}. Received: {count}. "
            "Keep fewer, or free some positions."
        )

    chosen = _largest_bits(magnitude_bits, count)
    if positions is None:
        return chosen.reshape(values.shape)
    mask = np.zeros(values.size, bool)
    mask[positions[chosen]] = True
    return mask.reshape(values.shape)


def _magnitude_bits(values):
    """`|values|` as float32, flattened, as unsigned integers."""
    # A float64 beyond the range of float32 is simply among the largest.
    with np.errstate(over="ignore"):
        magnitudes = np.abs(values.reshape(-1).astype(np.float32, copy=False))
    bits = magnitudes.view(np.uint32)
    if bits.size and bits.max() > _INFINITY_BITS:
        index = int(np.argmax(bits > _INFINITY_BITS))
        raise ValueError(
            "`values` must not contain NaN. Received: NaN at flat index "
            f"{index}. Training has probably diverged: lower the learning "
            "rate, or check the data."
        )
    return bits


def _largest_bits(bits, count):
    """Marks the `count` largest of the unsigned integers `bits`."""
    if count == 0:
        return np.zeros(bits.size, bool)
    upper = bits >> np.uint32(16)
    upper_threshold, rest = _threshold(upper, count)
    candidates = bits[upper == upper_threshold]
    lower = candidates & np.uint32(0xFFFF)
    lower_threshold, rest = _threshold(lower, rest)
    threshold = np.uint32(upper_threshold << 16 | lower_threshold)
    mask = bits > threshold
    mask[np.flatnonzero(bits == threshold)[:rest]] = True
    return mask


def _threshold(digits, count):
    """The `count`-th largest digit, and how many of its value are wanted."""
    at_least = np.cumsum(np.bincount(digits)[::-1])[::-1]
    digit = int(np.searchsorted(-at_least, -count, side="right")) - 1
    above = int(at_least[digit + 1]) if digit + 1 < at_least.size else 0
    return digit, count - above
