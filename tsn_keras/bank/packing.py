"""Codes of a few bits each, as one contiguous stream of bits."""

import functools
import numbers

import numpy as np

MAX_WIDTH = 8


def pack_codes(codes: np.ndarray, width: int) -> np.ndarray:
    """Packs integer codes into a contiguous stream of `width` bits each.

    Bit `j` of code `i` becomes bit `i * width + j` of the stream, and bit `t`
    of the stream is bit `t % 8` of byte `t // 8` (little-endian, no gaps).
    The last byte is filled up with zero bits. Eight codes always fill
    `width` whole bytes, so they are moved together in one 64-bit word.

    >>> pack_codes(np.array([1, 2, 3]), width=2)
    array([57], dtype=uint8)

    Args:
        codes: Integer array of shape `(count,)`, from 0 to `2**width - 1`.
        width: Bits a code, from 1 to 8.

    Returns:
        `uint8` array of shape `(ceil(count * width / 8),)`.

    Raises:
        ValueError: If an argument is not as described.
    """
    _check_width(width)
    codes = np.asarray(codes)
    if codes.ndim != 1 or (codes.size and codes.dtype.kind not in "iu"):
        raise ValueError(
            "`codes` must be a 1-D integer array. Received: shape "
            f"{codes.shape}, dtype {codes.dtype}. Flatten it and cast it to "
            "an integer dtype."
        )
    if not codes.size:
        return np.zeros(0, np.uint8)
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high >> width:
        raise ValueError(
            f"`codes` must lie in [0, {2**width}) for width={width}. "
            f"Received: {low if low < 0 else high}. Use a larger width or "
            "fewer centroids."
        )

    lanes = np.zeros(-(-codes.size // 8) * 8, np.uint8)
    lanes[: codes.size] = codes
    words = _join_lanes(lanes.view("<u8"), width)
    stream = words.view(np.uint8).reshape(-1, 8)[:, :width].reshape(-1)
    return stream[: num_bytes(codes.size, width)].copy()


def unpack_codes(packed: np.ndarray, width: int, count: int) -> np.ndarray:
    """Unpacks what `pack_codes` has packed.

    >>> packed = pack_codes(np.array([5, 0, 7, 1]), width=3)
    >>> unpack_codes(packed, width=3, count=4)
    array([5, 0, 7, 1], dtype=uint8)

    Args:
        packed: `uint8` array of shape `(ceil(count * width / 8),)`.
        width: Bits a code, from 1 to 8.
        count: Number of codes in the stream.

    Returns:
        `uint8` array of shape `(count,)`.

    Raises:
        ValueError: If `packed` is not a stream of `count` codes of that width.
    """
    _check_width(width)
    packed = np.asarray(packed)
    if not isinstance(count, numbers.Integral):
        raise TypeError(f"`count` must be an integer. Received: {count!r}")
    if count < 0:
        raise ValueError(f"`count` must not be negative. Received: {count}")
    length = num_bytes(count, width)
    if packed.dtype != np.uint8 or packed.shape != (length,):
        raise ValueError(
            f"`packed` must be {length} bytes (uint8, 1-D) for {count} codes "
            f"of {width} bits. Received: shape {packed.shape}, dtype "
            f"{packed.dtype}. The stream is truncated, or `count` or `width` "
            "is not the one it was packed with."
        )
    if length and int(packed[-1]) >> ((count * width - 1) % 8 + 1):
        raise ValueError(
            "`packed` has bits set after its last code. The stream is "
            "damaged, or `count` or `width` is not the one it was packed "
            f"with. Received: count={count}, width={width}"
        )
    if 8 % width == 0:
        return _codes_of_bytes(width)[packed].view(np.uint8)[:count]

    groups = np.zeros((-(-count // 8), 8), np.uint8)
    padded = np.zeros(len(groups) * width, np.uint8)
    padded[:length] = packed
    groups[:, :width] = padded.reshape(-1, width)
    words = _split_lanes(groups.reshape(-1).view("<u8"), width)
    return words.view(np.uint8)[:count].copy()


@functools.cache
def _codes_of_bytes(width: int) -> np.ndarray:
    """The codes in each byte, for widths that divide it, as one integer."""
    shifts = np.arange(0, 8, width)
    codes = (np.arange(256)[:, np.newaxis] >> shifts) & (2**width - 1)
    return codes.astype(np.uint8).view(f"u{shifts.size}").reshape(-1)


def _check_width(width):
    if isinstance(width, bool) or not isinstance(width, numbers.Integral):
        raise TypeError(f"`width` must be an integer. Received: {width!r}")
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(
            f"`width` must be from 1 to {MAX_WIDTH} bits. Received: {width}"
        )


def num_bytes(count: int, width: int) -> int:
    """Returns the length of a stream of `count` codes."""
    return -(-count * width // 8)


@functools.cache
def _low_bits(bits, field):
    """The low `bits` bits of every `field`-bit field of a 64-bit word."""
    ones = 2**bits - 1
    return np.uint64(sum(ones << start for start in range(0, 64, field)))


def _join_lanes(words, width):
    """Closes the gaps between the eight codes of a word, pair by pair."""
    for lane, width in ((8, width), (16, 2 * width), (32, 4 * width)):
        low = _low_bits(lane, 2 * lane)
        upper = (words >> np.uint64(lane)) & low
        words = (words & low) | (upper << np.uint64(width))
    return words


def _split_lanes(words, width):
    """Inverse of `_join_lanes`."""
    for lane, width in ((32, 4 * width), (16, 2 * width), (8, width)):
        low = _low_bits(width, 2 * lane)
        upper = (words >> np.uint64(width)) & low
        words = (words & low) | (upper << np.uint64(lane))
    return words
