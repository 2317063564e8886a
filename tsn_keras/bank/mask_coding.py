"""Lossless entropy coding of masks.

Magnitude pruning leaves masks with very uneven rows and columns: a dead
pixel empties a row, a dead unit a column. A mask is therefore seen as a
matrix (all leading axes by the last one) whose rows, columns or both are
sorted into at most 15 levels of density. Each cell, the slots where one row
level meets one column level, is coded with a single probability. The
levels themselves are coded the same way, as one string of bits per level:
which of the remaining rows belong to it.

The format, first byte first:

| bytes | content |
| --- | --- |
| 1 | 16 * row levels + column levels, or one of the three marks below |
| 2 | CRC-16 of the shape and of all that follows |
| 1 each | density of each level's string, then of each cell, row-major |
| rest | range coder's stream, 32-bit words, shortened |

The marks (a zero in one half of the byte) stand for a mask that is all off,
all on, or stored as plain bits, which is the case if nothing is shorter.
An empty mask is no bytes at all.
"""

import binascii
import itertools
import math

import constriction
import numpy as np

_ALL_OFF, _RAW, _CHANGED, _ALL_ON = 0x00, 0x01, 0x02, 0x10
_MAX_LEVELS = 15
_MAX_COUNT_BINS = 128
_HEADER_BYTES = 3
# Beyond this many words the few bytes that shortening saves do not matter.
_MAX_WORDS_TO_SHORTEN = 128

# A density is a byte: 0 and 255 for constant strings, else an odds ratio with
# a mantissa of three bits. Only exactly rounded operations lead from the byte
# to the probability, so that every machine rebuilds the same one.
_DENSITY_STEPS = np.arange(1, 255) - 144
_ODDS = np.ldexp(8.0 + _DENSITY_STEPS % 8, _DENSITY_STEPS // 8 - 3)
_PROBABILITIES = np.concatenate([[0.0], _ODDS / (1.0 + _ODDS), [1.0]])


def encode_mask(
    mask: np.ndarray, reference: np.ndarray | None = None
) -> bytes:
    """Encodes a mask without loss into few bytes.

    Of four models of the mask (one density for all, levels of rows, of
    columns, of both) the one with the shortest code is taken; see
    `ideal_bits`. The bits then pass through the range coder of the library
    constriction. The result is never longer than the plain bits and one
    byte, and one byte long if all entries are equal.

    >>> mask = np.zeros((784, 100), bool)
    >>> mask[300:310] = True
    >>> len(encode_mask(mask)) < 25
    True
    >>> decoded = decode_mask(encode_mask(mask), mask.shape)
    >>> bool(np.array_equal(decoded, mask))
    True

    Args:
        mask: `bool` array with at least one axis.
        reference: `bool` array of the same shape, or `None`. A mask that
            the decoder will know. The code is never longer than without.

    Returns:
        The encoded mask. The shape is not stored.

    Raises:
        ValueError: If `mask` is not a `bool` array or has no axis, or
            `reference` has another shape.
    """
    alone = _encode_alone(mask)
    if reference is None or len(alone) <= 1:
        return alone
    _check_reference(mask, reference)
    changed = bytes([_CHANGED]) + _encode_alone(mask ^ reference)
    return min(alone, changed, key=len)


def needs_reference(data: bytes) -> bool:
    """Whether `decode_mask` needs the reference `data` was encoded with."""
    return data[:1] == bytes([_CHANGED])


def _check_reference(mask, reference):
    if reference.dtype != bool or reference.shape != mask.shape:
        raise ValueError(
            "`reference` must be a bool array of the mask's shape "
            f"{mask.shape}. Received: dtype {reference.dtype}, shape "
            f"{reference.shape}."
        )


def _encode_alone(mask):
    matrix = _as_matrix(mask)
    if not matrix.size:
        return b""
    if not matrix.any():
        return bytes([_ALL_OFF])
    if matrix.all():
        return bytes([_ALL_ON])
    plain = bytes([_RAW]) + np.packbits(matrix).tobytes()
    bits, levels, densities = _best_model(matrix)
    if bits >= 8 * len(plain):
        return plain
    body = densities.tobytes() + _encode_strings(
        _strings(matrix, *levels), densities
    )
    counts = [_num_levels(axis_levels) for axis_levels in levels]
    head = bytes([16 * counts[0] + counts[1]])
    coded = head + _checksum(head + body, mask.shape) + body
    return min(coded, plain, key=len)


def decode_mask(
    data: bytes,
    shape: tuple[int, ...],
    reference: np.ndarray | None = None,
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

    Returns:
        `bool` array of that shape.

    Raises:
        ValueError: If `data` is damaged or not of a mask of this shape, or
            needs a reference and there is none.
    """
    shape = tuple(int(axis) for axis in shape)
    if not needs_reference(data):
        return _decode_alone(data, shape)
    if reference is None:
        raise ValueError(
            "`data` was encoded with a reference. Decode it with the same "
            "`reference`."
        )
    changed = _decode_alone(data[1:], shape)
    _check_reference(changed, reference)
    return changed ^ reference


def _decode_alone(data, shape):
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
        return np.unpackbits(plain, count=size).astype(bool).reshape(shape)
    return _decode_coded(data, shape)


def ideal_bits(
    mask: np.ndarray, reference: np.ndarray | None = None
) -> float:
    """The code length of `encode_mask` before rounding to bytes.

    With the density `p` of each coded string of `n` bits, `k` of them on,
    this is

        header + sum(8 - k * log2(p) - (n - k) * log2(1 - p))

    over the strings (all levels, all cells), where a constant string has
    only its 8 bits. Everything the decoder needs is counted.

    >>> ideal_bits(np.zeros((10, 10), bool))
    8.0

    Args:
        mask: `bool` array with at least one axis.
        reference: `bool` array of the same shape, or `None`, as given to
            `encode_mask`.

    Returns:
        Length in bits of the shortest of the models.

    Raises:
        ValueError: If `mask` is not a `bool` array or has no axis, or
            `reference` has another shape.
    """
    alone = _ideal_bits_alone(mask)
    if reference is None:
        return alone
    _check_reference(mask, reference)
    return min(alone, 8 + _ideal_bits_alone(mask ^ reference))


def _ideal_bits_alone(mask):
    matrix = _as_matrix(mask)
    if not matrix.size:
        return 0.0
    if matrix.all() or not matrix.any():
        return 8.0
    plain = 8.0 + 8 * ((matrix.size + 7) // 8)
    return min(plain, _best_model(matrix)[0])


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
    return float(_entropy(np.count_nonzero(matrix), matrix.size))


def _as_matrix(mask):
    """The mask as a matrix: leading axes by the last axis longer than one."""
    mask = np.asarray(mask)
    if mask.dtype != bool or not mask.ndim:
        raise ValueError(
            "`mask` must be a bool array with at least one axis. Received: "
            f"dtype {mask.dtype}, shape {mask.shape}. Convert it with "
            "`.astype(bool)`."
        )
    return np.ascontiguousarray(mask).reshape(_matrix_shape(mask.shape))


def _matrix_shape(shape):
    columns = next((axis for axis in reversed(shape) if axis != 1), 1)
    return math.prod(shape) // max(columns, 1), columns


def _entropy(ones, slots):
    """`slots * H(ones / slots)` in bits, element by element."""
    return _xlog2x(slots) - _xlog2x(ones) - _xlog2x(slots - ones)


def _xlog2x(x):
    x = np.asarray(x, np.float64)
    return x * np.log2(np.maximum(x, 1.0))


def _best_model(matrix):
    """The bits, the (row, column) levels and the densities to code with."""
    rows, columns = matrix.shape
    per_row = np.count_nonzero(matrix, axis=1)
    per_column = np.count_nonzero(matrix, axis=0)
    row_choices = [np.zeros(rows, np.uint8)]
    column_choices = [np.zeros(columns, np.uint8)]
    if rows > 1:
        row_choices.append(_levels(per_row, columns, 1))
        live_rows = np.count_nonzero(per_row)
        column_choices.append(
            _levels(per_column, live_rows, _num_levels(row_choices[1]))
        )
    best = None
    for levels in itertools.product(row_choices, column_choices):
        ones, slots = _string_counts(matrix, *levels)
        densities = _densities(ones, slots)
        bits = 8 * _HEADER_BYTES + _code_length(ones, slots, densities)
        if best is None or bits < best[0]:
            best = bits, levels, densities
    return best


def _levels(counts, slots, cells):
    """Sorts rows (or columns) by count into the best levels of density.

    A level is an interval of counts. Its cost in bits splits into a sum
    over levels: the entropy of its slots, its part of the entropy of the
    level sequence, and the bytes of the densities of one string and `cells`
    cells. So dynamic programming over the distinct counts finds the best
    intervals.
    """
    binned = _bin_counts(counts)
    _, members, sizes = np.unique(
        binned, return_inverse=True, return_counts=True
    )
    rows = np.append(0, np.cumsum(sizes))
    ones = np.append(0, np.cumsum(np.bincount(members, weights=counts)))
    level_rows = np.maximum(rows - rows[:, None], 0)
    level_ones = np.maximum(ones - ones[:, None], 0)
    cost = _entropy(level_ones, level_rows * slots)
    cost += 8 * (1 + cells) - _xlog2x(level_rows)
    cost[level_rows == 0] = np.inf

    best, starts = [cost[0]], []
    for _ in range(min(_MAX_LEVELS, sizes.size) - 1):
        options = best[-1][:, None] + cost
        starts.append(options.argmin(axis=0))
        best.append(options.min(axis=0))
    end = sizes.size
    level_of_bin = np.zeros(end, np.uint8)
    for level in range(int(np.argmin([row[-1] for row in best])), 0, -1):
        start = starts[level - 1][end]
        level_of_bin[start:end] = level
        end = start
    return level_of_bin[members.reshape(-1)]


def _bin_counts(counts):
    """Joins similar counts, so that few distinct ones are left."""
    if np.unique(counts).size <= _MAX_COUNT_BINS:
        return counts
    # The deviation of a count is its square root, hence this spacing. Empty
    # rows stay apart.
    scaled = np.sqrt(counts / counts.max()) * (_MAX_COUNT_BINS - 2)
    return np.where(counts > 0, 1 + scaled.astype(np.int64), 0)


def _num_levels(levels):
    return int(levels.max()) + 1


def _strings(matrix, row_levels, column_levels):
    """Yields every string of bits to code, in the order of the format."""
    for levels in (row_levels, column_levels):
        for level in range(_num_levels(levels) - 1):
            yield levels[levels >= level] == level
    for row_level in range(_num_levels(row_levels)):
        part = matrix[row_levels == row_level]
        for column_level in range(_num_levels(column_levels)):
            yield part[:, column_levels == column_level].reshape(-1)


def _string_counts(matrix, row_levels, column_levels):
    """The number of ones and of slots in every one of `_strings`."""
    ones, slots, sizes = [], [], []
    for levels in (row_levels, column_levels):
        size = np.bincount(levels)
        ones.append(size[:-1])
        slots.append(np.cumsum(size[::-1])[:0:-1])
        sizes.append(size)
    per_column = np.stack(
        [
            np.count_nonzero(matrix[row_levels == level], axis=0)
            for level in range(sizes[0].size)
        ]
    )
    cells = [
        per_column[:, column_levels == level].sum(axis=1)
        for level in range(sizes[1].size)
    ]
    ones.append(np.stack(cells, axis=1).reshape(-1))
    slots.append(np.outer(*sizes).reshape(-1))
    return np.concatenate(ones), np.concatenate(slots)


def _densities(ones, slots):
    """The density byte nearest to `ones / slots`, element by element."""
    zeros = slots - ones
    odds = ones / np.maximum(zeros, 1)
    codes = 1 + np.searchsorted((_ODDS[:-1] + _ODDS[1:]) / 2, odds)
    codes = np.where(ones == 0, 0, np.where(zeros == 0, 255, codes))
    return codes.astype(np.uint8)


def _code_length(ones, slots, densities):
    """Bits of the strings and of their density bytes."""
    mixed = (ones > 0) & (ones < slots)
    p = _PROBABILITIES[densities[mixed]]
    on, off = ones[mixed], (slots - ones)[mixed]
    stream = -(on * np.log2(p) + off * np.log2(1 - p)).sum()
    return float(8 * densities.size + stream)


def _bernoulli(density):
    p = float(_PROBABILITIES[density])
    return constriction.stream.model.Bernoulli(p, perfect=False)


def _checksum(data, shape):
    shape_bytes = np.array(shape, "<i8").tobytes()
    return binascii.crc_hqx(data, binascii.crc_hqx(shape_bytes, 0)).to_bytes(
        2, "little"
    )


def _encode_strings(strings, densities):
    """The range coder's stream; constant strings take no part in it."""
    coder = constriction.stream.queue.RangeEncoder()
    coded = []
    for string, density in zip(strings, densities, strict=True):
        if 0 < density < 255:
            symbols = string.astype(np.int32)
            model = _bernoulli(density)
            coder.encode(symbols, model)
            coded.append((symbols, model))
    words = coder.get_compressed()
    # Big-endian words keep the least significant bits at the very end.
    stream = words.astype(">u4").tobytes()
    if words.size <= _MAX_WORDS_TO_SHORTEN:
        return _shorten(stream, coded)
    return stream


def _shorten(stream, coded):
    """Drops trailing bytes that the decoder can do without.

    The coder closes its stream with whole words, while any number in its
    last interval decodes to the same symbols, if zeros follow.
    """
    number = int.from_bytes(stream, "big")
    for kept in range(max(0, len(stream) - 8), len(stream)):
        prefix = number >> 8 * (len(stream) - kept)
        for candidate in (prefix, prefix + 1):
            if candidate >> 8 * kept:
                continue
            shorter = candidate.to_bytes(kept, "big")
            decoder = _stream_decoder(shorter)
            if all(
                np.array_equal(_decode(decoder, model, symbols.size), symbols)
                for symbols, model in coded
            ):
                return shorter
    return stream


def _stream_decoder(stream):
    padded = stream + bytes(-len(stream) % 4)
    words = np.frombuffer(padded, ">u4").astype(np.uint32)
    return constriction.stream.queue.RangeDecoder(words)


def _decode(decoder, model, size):
    """`size` decoded symbols, or `None` if the stream is impossible."""
    try:
        return decoder.decode(model, size)
    # That is how constriction reports data that no encoder can have made.
    except AssertionError:
        return None


def _decode_coded(data, shape):
    counts = divmod(data[0], 16)
    num_densities = sum(counts) - 2 + math.prod(counts)
    body = _HEADER_BYTES + num_densities
    if not all(counts) or len(data) < body:
        raise _damaged(data, shape)
    if _checksum(data[:1] + data[_HEADER_BYTES:], shape) != data[1:3]:
        raise _damaged(data, shape)
    densities = iter(data[_HEADER_BYTES:body])
    decoder = _stream_decoder(data[body:])

    def next_string(size):
        density = next(densities)
        if density in (0, 255):
            return np.full(size, density == 255)
        symbols = _decode(decoder, _bernoulli(density), size)
        if symbols is None:
            raise _damaged(data, shape)
        return symbols.astype(bool)

    matrix = np.zeros(_matrix_shape(shape), bool)
    row_levels, column_levels = (
        _decode_levels(size, count, next_string)
        for size, count in zip(matrix.shape, counts)
    )
    for row_level in range(counts[0]):
        in_rows = row_levels == row_level
        part = np.zeros((np.count_nonzero(in_rows), matrix.shape[1]), bool)
        for column_level in range(counts[1]):
            in_columns = column_levels == column_level
            cell_shape = part.shape[0], np.count_nonzero(in_columns)
            cell = next_string(math.prod(cell_shape)).reshape(cell_shape)
            part[:, in_columns] = cell
        matrix[in_rows] = part
    return matrix.reshape(shape)


def _decode_levels(size, num_levels, next_string):
    levels = np.zeros(size, np.uint8)
    rest = np.arange(size)
    for level in range(num_levels - 1):
        rest = rest[~next_string(rest.size)]
        levels[rest] = level + 1
    return levels


def _damaged(data, shape):
    return ValueError(
        f"`data` is not an encoded mask of shape {shape}: the mask is "
        f"damaged, or of another shape. Received: {len(data)} bytes starting "
        f"with {data[:4].hex() or 'nothing'}. Read it again from an intact "
        "file."
    )
