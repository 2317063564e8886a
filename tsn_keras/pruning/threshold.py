"""The exact mask of the largest magnitudes."""

import numpy as np

_INFINITY_BITS = 0x7F800000


def largest(
    values: np.ndarray, count: int, available: np.ndarray | None = None
) -> np.ndarray:
    """Marks exactly `count` positions with the largest magnitudes.

    The bit pattern of a non-negative float32, read as an integer, has the
    order of the floats, so the `count`-th largest magnitude is found among
    integers. Among equal magnitudes the lowest flat index comes first, so that
    the same values always give the same mask.

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
    bits = _magnitude_bits(values)
    places = bits.size
    if available is not None:
        available = np.asarray(available)
        if available.shape != values.shape or available.dtype != bool:
            raise ValueError(
                "`available` must be a bool array of the shape of `values`, "
                f"{values.shape}. Received: shape {available.shape}, dtype "
                f"{available.dtype}"
            )
        places = np.count_nonzero(available)
        if places < bits.size:
            bits = np.where(available.reshape(-1), bits, np.int32(-1))
    if not 0 <= count <= places:
        raise ValueError(
            f"`count` must be from 0 to {places}, the number of "
            f"available positions out of {values.size}. Received: {count}. "
            "Keep fewer, or free some positions."
        )
    if count == places:
        if available is None:
            return np.ones(values.shape, bool)
        return available.copy()
    return _largest_integers(bits, count).reshape(values.shape)


def _magnitude_bits(values):
    """`|values|` as float32, flattened, as integers of the same order."""
    # A float64 beyond the range of float32 is simply among the largest.
    with np.errstate(over="ignore"):
        magnitudes = np.abs(values.reshape(-1).astype(np.float32, copy=False))
    bits = magnitudes.view(np.int32)
    if bits.size and bits.max() > _INFINITY_BITS:
        index = int(np.argmax(bits > _INFINITY_BITS))
        raise ValueError(
            "`values` must not contain NaN. Received: NaN at flat index "
            f"{index}. Training has probably diverged: lower the learning "
            "rate, or check the data."
        )
    return bits


def _largest_integers(integers, count):
    """Marks the `count` largest integers, of equal ones the first."""
    if count == 0:
        return np.zeros(integers.size, bool)
    place = integers.size - count
    threshold = np.partition(integers, place)[place]
    mask = integers >= threshold
    surplus = np.count_nonzero(mask) - count
    if surplus:
        mask[np.flatnonzero(integers == threshold)[-surplus:]] = False
    return mask
