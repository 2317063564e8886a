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
for a mask that is all off, 16 for all on, 1 for plain bits, which is the case
if nothing is shorter, and 2 for a mask in the format of earlier versions, which
follows (`first_mask_format`). Without reference and `within` the first byte is
left out. An empty mask is no bytes at all. There is no checksum: the bank has
one.
"""

import math

import numpy as np

from tsn_keras.bank import first_mask_format
from tsn_keras.bank.density_levels import (
    best_levels,
    level_strings,
)
from tsn_keras.bank.gap_strings import (
    DamagedError,
    StringDecoder,
    StringEncoder,
    entropy,
)
from tsn_keras.bank.mask_cells import Cells, decode_levels, live_slots

_ALL_OFF, _RAW, _FIRST_FORMAT, _CODED, _ALL_ON = 0x00, 0x01, 0x02, 0x04, 0x10
_REFERENCE, _WITHIN = 1, 2
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
        return bytes([_ALL_OFF])
    if matrix.all():
        return bytes([_ALL_ON])
    plans = _plans(matrix, *_contexts(mask, reference, within))
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
    if data[0] in (_ALL_OFF, _ALL_ON):
        if len(data) != 1:
            raise _damaged(data, shape)
        return np.full(shape, data[0] == _ALL_ON)
    if data[0] == _RAW:
        if len(data) != 1 + (size + 7) // 8:
            raise _damaged(data, shape)
        plain = np.frombuffer(data, np.uint8, offset=1)
        return np.unpackbits(plain, count=size).view(bool).reshape(shape)
    try:
        if data[0] == _FIRST_FORMAT:
            matrix = first_mask_format.decode(
                data[1:], shape, matrix_shape(shape)
            )
        else:
            contexts = _known(data, shape, reference, within)
            matrix = _decode_coded(data, shape, *contexts)
    except DamagedError as error:
        raise _damaged(data, shape) from error
    return matrix.reshape(shape)


def from_first_format(data: bytes) -> bytes:
    """Marks a mask as one in the format of the bank's versions 1 to 3."""
    if data[:1] in (b"", b"\x00", b"\x01", b"\x10"):
        return data
    return bytes([_FIRST_FORMAT]) + data


def needs_reference(data: bytes) -> bool:
    """Whether `data` was encoded with the help of the reference."""
    return _has_context(data) and bool(data[0] & _REFERENCE)


def needs_within(data: bytes) -> bool:
    """Whether `data` was encoded with the help of `within`."""
    return _has_context(data) and bool(data[0] & _WITHIN)


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
    plans = _plans(matrix, *_contexts(mask, reference, within))
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


class _Part:
    """The slots of a domain, and how they are to be coded."""

    def __init__(self, matrix, domain):
        self.ones = matrix if domain is None else matrix & domain
        self.domain = domain
        count = np.count_nonzero(self.ones)
        slots = matrix.size if domain is None else np.count_nonzero(domain)
        self.mixed = 0 < count < slots
        self.bits = 0.0
        self.head = _ALL_ON if count else _ALL_OFF
        if self.mixed:
            if domain is not None:
                live = live_slots(domain)
                self.ones, self.domain = self.ones[live], domain[live]
            self.bits, self.levels = best_levels(self.ones, self.domain)
            rows, columns = (int(axis.max()) + 1 for axis in self.levels)
            self.head = 16 * rows + columns

    def encode(self, encoder: StringEncoder) -> None:
        for levels in self.levels:
            for string in level_strings(levels):
                encoder.add(np.flatnonzero(string), string.size)
        cells = Cells(self.ones.shape, self.domain, *self.levels)
        for positions, size in cells.positions(self.ones):
            encoder.add(positions, size)


class _Plan:
    """One way to code a mask: its contexts, its parts, its bits."""

    def __init__(self, matrix, reference, within):
        self.flags = _REFERENCE * (reference is not None)
        self.flags += _WITHIN * (within is not None)
        self.parts = [
            _Part(matrix, domain) for domain in _domains(reference, within)
        ]
        self.mixed = any(part.mixed for part in self.parts)
        header = (self.flags > 0) + len(self.parts)
        self.bits = 8 * header + sum(part.bits for part in self.parts)

    def encode(self) -> bytes:
        head = bytes(part.head for part in self.parts)
        if self.flags:
            head = bytes([_CODED + self.flags]) + head
        if not self.mixed:
            return head
        encoder = StringEncoder()
        for part in self.parts:
            if part.mixed:
                part.encode(encoder)
        return head + encoder.stream()


def _plans(matrix, reference, within):
    """All ways to code a mask."""
    plans = [_Plan(matrix, None, None)]
    if within is not None:
        plans.append(_Plan(matrix, None, within))
    if reference is not None:
        plans.append(_Plan(matrix, reference, within))
    return plans


def _domains(reference, within):
    """The domain of each part, `None` for all slots."""
    if reference is None:
        return [within]
    if within is None:
        return [reference, ~reference]
    return [reference & within, within & ~reference]


def _has_context(data):
    return bool(data) and _CODED < data[0] <= _CODED + _REFERENCE + _WITHIN


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


def _decode_coded(data, shape, reference, within):
    body = int(_has_context(data))
    domains = _domains(reference, within)
    heads = data[body : body + len(domains)]
    body += len(heads)
    mixed = any(head not in (_ALL_OFF, _ALL_ON) for head in heads)
    if len(heads) < len(domains) or (not mixed and len(data) > body):
        raise _damaged(data, shape)
    decoder = StringDecoder(data[body:])
    matrix = np.zeros(matrix_shape(shape), bool)
    for head, domain in zip(heads, domains):
        if head == _ALL_ON:
            matrix |= True if domain is None else domain
        elif head != _ALL_OFF:
            num_levels = divmod(head, 16)
            if not all(num_levels):
                raise _damaged(data, shape)
            _decode_part(matrix, domain, num_levels, decoder)
    return matrix


def _decode_part(matrix, domain, num_levels, decoder):
    """Sets the ones of a part in the matrix."""
    live = None
    part = matrix
    if domain is not None:
        live = live_slots(domain)
        domain = domain[live]
        part = np.zeros(domain.shape, bool)
    levels = [
        decode_levels(axis, number, decoder)
        for axis, number in zip(part.shape, num_levels)
    ]
    Cells(part.shape, domain, *levels).fill(part, decoder)
    if live is not None:
        matrix[live] |= part


def _damaged(data, shape):
    return ValueError(
        f"`data` is not an encoded mask of shape {shape}: the mask is "
        f"damaged, or of another shape. Received: {len(data)} bytes starting "
        f"with {data[:4].hex() or 'nothing'}. Read it again from an intact "
        "file."
    )
