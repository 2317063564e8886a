"""How masks become bytes, without loss.

A mask is seen as a matrix (all leading axes by the last one longer than one).
It is coded in one part, or in two: the slots inside a reference, which is the
mask of a related task, and those outside. In each part the rows and columns
are sorted into levels of density, which divide it into cells (`mask_levels`).
Levels and cells are strings of bits, which go through a range coder
(`bit_strings`). Of several plans the one with the shortest code is taken.

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

A task's own slots are coded within those that its plane has left. Its shared
slots are a list of bits, one for each owned slot, or a matrix within the owned
slots, whichever is shorter.
"""

import math

import numpy as np

from tsn_keras.bank import bit_strings
from tsn_keras.bank.bit_strings import DamagedError
from tsn_keras.bank.mask_levels import best_levels, decode_cells, encode_cells
from tsn_keras.files import DamagedFileError

# Marks of masks without any string, and of coded ones with their contexts.
_ALL_OFF, _PLAIN_BITS, _CODED, _ALL_ON = 0x00, 0x01, 0x04, 0x10
_REFERENCE, _WITHIN = 1, 2
# Codes are compared in bytes where their models differ by less than this.
_CLOSE_BITS = 64


def encode_mask(
    mask: np.ndarray,
    reference: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> bytes:
    """Encodes a mask, but not its shape, into few bytes.

    The result is never longer than the plain bits and one byte, and never
    longer than without `reference` and `within`. It is one byte long if all
    entries are equal, and at most three if the mask equals the reference.

    >>> mask = np.zeros((784, 100), bool)
    >>> mask[300:310] = True
    >>> len(encode_mask(mask)) < 25
    True
    >>> decoded = decode_mask(encode_mask(mask), mask.shape)
    >>> bool(np.array_equal(decoded, mask))
    True

    `reference` and `within` are masks of the same shape that the decoder will
    know, or `None`. `within` contains the mask.

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
    plans = make_plans(mask, reference, within)
    best = min(plan.bits for plan in plans)
    codes = [bytes([_PLAIN_BITS]) + np.packbits(matrix).tobytes()]
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

    `reference` and `within` are those given to `encode_mask`. Each is read only
    if the data need it.

    Raises:
        DamagedFileError: If `data` cannot be those of such a mask. Not all
            damage is found.
    """
    shape = tuple(int(axis) for axis in shape)
    data = bytes(data)
    try:
        return _decode(data, shape, reference, within)
    except DamagedError as error:
        raise DamagedFileError(
            f"`data` is not an encoded mask of shape {shape}: the mask is "
            f"damaged, or of another shape. Received: {len(data)} bytes "
            f"starting with {data[:4].hex() or 'nothing'}. Read it again from "
            "an intact file."
        ) from error


def _decode(data, shape, reference, within):
    """Decodes a mask; raises `DamagedError`."""
    size = math.prod(shape)
    if not size or not data:
        _check(not size and not data)
        return np.zeros(shape, bool)
    if data[0] in (_ALL_OFF, _ALL_ON):
        _check(len(data) == 1)
        return np.full(shape, data[0] == _ALL_ON)
    if data[0] == _PLAIN_BITS:
        _check(len(data) == 1 + (size + 7) // 8)
        plain = np.frombuffer(data, np.uint8, offset=1)
        return np.unpackbits(plain, count=size).view(bool).reshape(shape)
    contexts = []
    for name, is_needed, context in (
        ("reference", needs_reference(data), reference),
        ("within", needs_within(data), within),
    ):
        if is_needed and context is None:
            raise ValueError(
                f"`data` was encoded with `{name}`. Decode it with the same "
                "mask."
            )
        contexts.append(context if is_needed else None)
    contexts = _contexts(shape, *contexts)
    return _decode_plan(data, _matrix_shape(shape), *contexts).reshape(shape)


def _check(is_intact: bool) -> None:
    if not is_intact:
        raise DamagedError("The mask is damaged.")


def needs_reference(data: bytes) -> bool:
    """Whether `data` was encoded with the help of the reference."""
    return _has_context(data) and bool(data[0] & _REFERENCE)


def needs_within(data: bytes) -> bool:
    """Whether `data` was encoded with the help of `within`."""
    return _has_context(data) and bool(data[0] & _WITHIN)


def _has_context(data: bytes) -> bool:
    return bool(data) and _CODED < data[0] <= _CODED + _REFERENCE + _WITHIN


def encode_shared(
    shared: np.ndarray, owned: np.ndarray, reference: np.ndarray | None
) -> bytes:
    """Encodes the slots that a task shares, which all have an owner."""
    listed = encode_mask(shared[owned], _listed(reference, owned))
    if len(listed) <= 1:
        return listed
    matrix = encode_mask(shared, reference, owned)
    if needs_within(matrix):
        return min(listed, matrix, key=len)
    return listed


def decode_shared(
    data: bytes, owned: np.ndarray, reference: np.ndarray | None
) -> np.ndarray:
    """Decodes what `encode_shared` has encoded."""
    if needs_within(data):
        return decode_mask(data, owned.shape, reference, owned)
    shared = np.zeros(owned.shape, bool)
    listed = (np.count_nonzero(owned),)
    shared[owned] = decode_mask(data, listed, _listed(reference, owned))
    return shared


def _listed(reference, owned):
    return None if reference is None else reference[owned]


class Plan:
    """One way to code a mask, with the help of the contexts it is given.

    `bits` is the length of the code before it is rounded to bytes, header and
    all: `log2(n + 1) + n * H(k / n)` for a string of `n` bits with `k` ones.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        reference: np.ndarray | None,
        within: np.ndarray | None,
    ):
        flags = _REFERENCE * (reference is not None)
        flags += _WITHIN * (within is not None)
        header = [_CODED + flags] if flags else []
        # Of each part that is neither all off nor all on.
        self._mixed = []
        bits = 0.0
        for domain in _domains(reference, within):
            ones = matrix if domain is None else matrix & domain
            count = np.count_nonzero(ones)
            slots = matrix.size if domain is None else np.count_nonzero(domain)
            if not 0 < count < slots:
                header.append(_ALL_ON if count else _ALL_OFF)
                continue
            if domain is not None:
                live = _live(domain)
                ones, domain = ones[live], domain[live]
            part_bits, levels = best_levels(ones, domain)
            rows, columns = (int(axis.max()) + 1 for axis in levels)
            header.append(16 * rows + columns)
            self._mixed.append((ones, domain, levels))
            bits += part_bits
        self._header = bytes(header)
        self.bits = 8 * len(header) + bits

    def encode(self) -> bytes:
        encoder = bit_strings.StringEncoder()
        for part in self._mixed:
            encode_cells(*part, encoder)
        return self._header + encoder.stream()


def make_plans(
    mask: np.ndarray,
    reference: np.ndarray | None = None,
    within: np.ndarray | None = None,
) -> list[Plan]:
    """Returns all ways to code a mask that is neither all on nor all off.

    Arguments and errors are those of `encode_mask`.
    """
    matrix = _as_matrix(mask)
    reference, within = _contexts(mask.shape, reference, within)
    plans = [Plan(matrix, None, None)]
    if within is not None:
        outside = np.count_nonzero(matrix & ~within)
        if outside:
            raise ValueError(
                "`within` must contain the mask. Received: a mask with "
                f"{outside} slots outside it."
            )
        plans.append(Plan(matrix, None, within))
    if reference is not None:
        plans.append(Plan(matrix, reference, within))
    return plans


def _domains(reference, within):
    """The domain of each part, `None` for all slots."""
    if reference is None:
        return [within]
    if within is None:
        return [reference, ~reference]
    return [reference & within, within & ~reference]


def _live(domain):
    """The index of the rows and columns that a domain has slots in."""
    rows, columns = domain.any(axis=1), domain.any(axis=0)
    if rows.all() and columns.all():
        return ...
    return np.ix_(rows, columns)


def _decode_plan(data, shape, reference, within):
    """Decodes what a plan has encoded."""
    body = int(_has_context(data))
    domains = _domains(reference, within)
    heads = data[body : body + len(domains)]
    body += len(heads)
    mixed = any(head not in (_ALL_OFF, _ALL_ON) for head in heads)
    _check(len(heads) == len(domains) and (mixed or len(data) == body))
    decoder = bit_strings.StringDecoder(data[body:])
    matrix = np.zeros(shape, bool)
    for head, domain in zip(heads, domains):
        if head == _ALL_ON:
            matrix |= True if domain is None else domain
        elif head != _ALL_OFF:
            num_levels = divmod(head, 16)
            _check(all(num_levels))
            if domain is None:
                return decode_cells(shape, None, num_levels, decoder)
            live = _live(domain)
            domain = domain[live]
            part = decode_cells(domain.shape, domain, num_levels, decoder)
            matrix[live] |= part
    return matrix


def _matrix_shape(shape):
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
    return np.ascontiguousarray(mask).reshape(_matrix_shape(mask.shape))


def _contexts(shape, reference, within):
    """The reference and `within` of a mask of this shape, as matrices."""
    matrices = []
    for name, context in (("reference", reference), ("within", within)):
        if context is not None:
            context = np.asarray(context)
            if context.dtype != bool or context.shape != shape:
                raise ValueError(
                    f"`{name}` must be a bool array of the mask's shape "
                    f"{shape}. Received: dtype {context.dtype}, shape "
                    f"{context.shape}."
                )
            context = np.ascontiguousarray(context)
            context = context.reshape(_matrix_shape(shape))
        matrices.append(context)
    return matrices
