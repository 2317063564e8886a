"""Lossless entropy coding of masks.

A mask is seen as a matrix (all leading axes by the last one longer than one).
It is coded in one part, or in two: the slots inside a reference, which is the
mask of a related task, and those outside. Of each part the rows and columns
are sorted into levels of density (`density_levels`); each cell, the slots where
one row level meets one column level, is one string of bits of one density, and
so is each level: which of the remaining rows belong to it. The strings go
through a range coder (`gap_strings`).

The format, first byte first:

| bytes | content |
| --- | --- |
| 1 | 4 + 1 (with a reference) + 2 (only `within`), or a mark |
| 1 a part | 16 * row levels + column levels; 0 for all off, 16 for all on |
| rest | the strings' stream |

`Within` means that only the slots of another mask are coded. The marks are 0
for a mask that is all off, 16 for all on, and 1 for plain bits, which is the
case if nothing is shorter. Without reference and `within` the first byte is
left out. An empty mask is no bytes at all. There is no checksum: the bank has
one.
"""

import math

import numpy as np

from tsn_keras.bank.gap_strings import DamagedError, entropy
from tsn_keras.bank.mask_plans import (
    ALL_OFF,
    ALL_ON,
    REFERENCE,
    WITHIN,
    decode_plan,
    has_context,
    make_plans,
)

# Beside the marks of coded masks.
_RAW = 0x01
# Codes are compared in bytes where their models differ by less than this.
_CLOSE_BITS = 64


def encode_mask(
    mask: np.ndarray,
    reference: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> bytes:
    """Encodes a mask without loss into few bytes.

    Of all models (with the reference or without, within or everywhere, levels
    of rows, of columns, of both or none) the one with the shortest code is
    taken; see `ideal_bits`. The result is never longer than the plain bits
    and one byte, and never longer than without `reference` and `within`. It
    is one byte long if all entries are equal, and four if the mask equals
    the reference.

    >>> mask = np.zeros((784, 100), bool)
    >>> mask[300:310] = True
    >>> len(encode_mask(mask)) < 25
    True
    >>> decoded = decode_mask(encode_mask(mask), mask.shape)
    >>> bool(np.array_equal(decoded, mask))
    True

    Args:
        mask: `bool` array with at least one axis.
        reference: `bool` array of the same shape, or `None`. A mask that the
            decoder will know.
        within: `bool` array of the same shape, or `None`. Another mask that
            the decoder will know, and that contains this one.

    Returns:
        The encoded mask. The shape is not stored.

    Raises:
        ValueError: If `mask` is not a `bool` array or has no axis, or
            `reference` or `within` do not fit it.
    """
    matrix = _as_matrix(mask)
    if not matrix.size:
        return b""
    if not matrix.any():
        return bytes([ALL_OFF])
    if matrix.all():
        return bytes([ALL_ON])
    plans = make_plans(matrix, *_contexts(mask, reference, within))
    best = min(plan.bits for plan in plans)
    codes = [bytes([_RAW]) + np.packbits(matrix).tobytes()]
    for plan in plans:
        if plan.bits <= min(best + _CLOSE_BITS, 8 * len(codes[0])):
            codes.append(plan.encode())
    return min(codes, key=len)


def decode_mask(
    data: bytes,
    shape: tuple[int, ...],
    reference: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> np.ndarray:
    """Decodes what `encode_mask` has encoded.

    >>> mask = np.arange(40).reshape(8, 5) % 7 == 0
    >>> data = encode_mask(mask)
    >>> bool(np.array_equal(decode_mask(data, (8, 5)), mask))
    True

    Args:
        data: The encoded mask.
        shape: The shape of the mask.
        reference: `bool` array of that shape, or `None`, as given to
            `encode_mask`. Only read if `needs_reference(data)`.
        within: `bool` array of that shape, or `None`, as given to
            `encode_mask`. Only read if `needs_within(data)`.

    Returns:
        `bool` array of that shape.

    Raises:
        ValueError: If `data` cannot be those of such a mask. Not all damage
            is found.
    """
    shape = tuple(int(axis) for axis in shape)
    size = math.prod(shape)
    data = bytes(data)
    if not size and not data:
        return np.zeros(shape, bool)
    if not size or not data:
        raise _damaged(data, shape)
    if data[0] in (ALL_OFF, ALL_ON):
        if len(data) != 1:
            raise _damaged(data, shape)
        return np.full(shape, data[0] == ALL_ON)
    if data[0] == _RAW:
        if len(data) != 1 + (size + 7) // 8:
            raise _damaged(data, shape)
        plain = np.frombuffer(data, np.uint8, offset=1)
        return np.unpackbits(plain, count=size).view(bool).reshape(shape)
    try:
        contexts = _known(data, shape, reference, within)
        matrix = decode_plan(data, matrix_shape(shape), *contexts)
    except DamagedError as error:
        raise _damaged(data, shape) from error
    return matrix.reshape(shape)


def needs_reference(data: bytes) -> bool:
    """Whether `data` was encoded with the help of the reference."""
    return has_context(data) and bool(data[0] & REFERENCE)


def needs_within(data: bytes) -> bool:
    """Whether `data` was encoded with the help of `within`."""
    return has_context(data) and bool(data[0] & WITHIN)


def ideal_bits(
    mask: np.ndarray,
    reference: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> float:
    """The code length of `encode_mask` before rounding to bytes.

    With `k` ones in each coded string of `n` bits this is

        header + sum(log2(n + 1) + n * H(k / n))

    over the strings (all levels, all cells). Everything the decoder needs is
    counted.

    >>> ideal_bits(np.zeros((10, 10), bool))
    8.0

    Args:
        mask: `bool` array with at least one axis.
        reference: As in `encode_mask`.
        within: As in `encode_mask`.

    Returns:
        Length in bits of the shortest of the models.

    Raises:
        ValueError: As `encode_mask`.
    """
    matrix = _as_matrix(mask)
    if not matrix.size:
        return 0.0
    if matrix.all() or not matrix.any():
        return 8.0
    plain = 8.0 + 8 * ((matrix.size + 7) // 8)
    plans = make_plans(matrix, *_contexts(mask, reference, within))
    return min(plain, *(plan.bits for plan in plans))


def zero_order_entropy(mask: np.ndarray) -> float:
    """The entropy of a mask whose slots are taken as independent.

    With `k` of `n` slots on, `n * H(k / n)` where
    `H(p) = -p * log2(p) - (1 - p) * log2(1 - p)` (Shannon, 1948).

    >>> zero_order_entropy(np.array([True, False, False, True]))
    4.0

    Args:
        mask: `bool` array with at least one axis.

    Returns:
        Entropy in bits, without any side information.

    Raises:
        ValueError: If `mask` is not a `bool` array or has no axis.
    """
    matrix = _as_matrix(mask)
    return float(entropy(np.count_nonzero(matrix), matrix.size))


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns the two axes of the matrix that a mask is seen as."""
    columns = next((axis for axis in reversed(shape) if axis != 1), 1)
    return math.prod(shape) // max(columns, 1), columns


def _as_matrix(mask):
    mask = np.asarray(mask)
    if mask.dtype != bool or not mask.ndim:
        raise ValueError(
            "`mask` must be a bool array with at least one axis. Received: "
            f"dtype {mask.dtype}, shape {mask.shape}. Convert it with "
            "`.astype(bool)`."
        )
    return np.ascontiguousarray(mask).reshape(matrix_shape(mask.shape))


def _context(context, name, shape):
    """A reference or domain as a matrix."""
    context = np.asarray(context)
    if context.dtype != bool or context.shape != shape:
        raise ValueError(
            f"`{name}` must be a bool array of the mask's shape {shape}. "
            f"Received: dtype {context.dtype}, shape {context.shape}."
        )
    return np.ascontiguousarray(context).reshape(matrix_shape(shape))


def _contexts(mask, reference, within):
    if reference is not None:
        reference = _context(reference, "reference", mask.shape)
    if within is not None:
        within = _context(within, "within", mask.shape)
        outside = np.count_nonzero(_as_matrix(mask) & ~within)
        if outside:
            raise ValueError(
                "`within` must contain the mask. Received: a mask with "
                f"{outside} slots outside it."
            )
    return reference, within


def _known(data, shape, reference, within):
    """The contexts that the data need, and no others."""
    contexts = {"reference": reference, "within": within}
    needed = needs_reference(data), needs_within(data)
    for (name, context), need in zip(contexts.items(), needed):
        if need and context is None:
            raise ValueError(
                f"`data` was encoded with `{name}`. Decode it with the same "
                "mask."
            )
        contexts[name] = _context(context, name, shape) if need else None
    return tuple(contexts.values())


def _damaged(data, shape):
    return ValueError(
        f"`data` is not an encoded mask of shape {shape}: the mask is "
        f"damaged, or of another shape. Received: {len(data)} bytes starting "
        f"with {data[:4].hex() or 'nothing'}. Read it again from an intact "
        "file."
    )
