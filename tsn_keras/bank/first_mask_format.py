"""Reading masks of the bank's format versions 1 to 3.

There every string of bits (see `mask_coding`) was coded bit by bit with the
probability that its density byte stood for:

| bytes | content |
| --- | --- |
| 1 | 16 * row levels + column levels |
| 2 | CRC-16 of the shape and of all that follows |
| 1 each | density of each level's string, then of each cell, row-major |
| rest | range coder's stream, 32-bit words, shortened |
"""

import binascii
import math

import constriction
import numpy as np

from tsn_keras.bank.gap_strings import DamagedError

_HEADER_BYTES = 3
# A density is a byte: 0 and 255 for constant strings, else an odds ratio with
# a mantissa of three bits.
_DENSITY_STEPS = np.arange(1, 255) - 144
_ODDS = np.ldexp(8.0 + _DENSITY_STEPS % 8, _DENSITY_STEPS // 8 - 3)
_PROBABILITIES = np.concatenate([[0.0], _ODDS / (1.0 + _ODDS), [1.0]])


def _checksum(data, shape):
    shape_bytes = np.array(shape, "<i8").tobytes()
    return binascii.crc_hqx(data, binascii.crc_hqx(shape_bytes, 0)).to_bytes(
        2, "little"
    )


def _bernoulli(density):
    p = float(_PROBABILITIES[density])
    return constriction.stream.model.Bernoulli(p, perfect=False)


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


def decode(
    data: bytes, shape: tuple[int, ...], matrix_shape: tuple[int, int]
) -> np.ndarray:
    """Decodes a mask.

    Args:
        data: bytes, of more than one entry of either kind.
        shape: tuple of int, the mask's.
        matrix_shape: tuple of int, of the matrix that it is seen as.

    Returns:
        bool array of `matrix_shape`.

    Raises:
        DamagedError: If the data are not those of such a mask.
    """
    if not data:
        raise DamagedError
    counts = divmod(data[0], 16)
    num_densities = sum(counts) - 2 + math.prod(counts)
    body = _HEADER_BYTES + num_densities
    if not all(counts) or len(data) < body:
        raise DamagedError
    if _checksum(data[:1] + data[_HEADER_BYTES:], shape) != data[1:3]:
        raise DamagedError
    densities = iter(data[_HEADER_BYTES:body])
    decoder = _stream_decoder(data[body:])

    def next_string(size):
        density = next(densities)
        if density in (0, 255):
            return np.full(size, density == 255)
        symbols = _decode(decoder, _bernoulli(density), size)
        if symbols is None:
            raise DamagedError
        return symbols.astype(bool)

    matrix = np.zeros(matrix_shape, bool)
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
    return matrix


def _decode_levels(size, num_levels, next_string):
    levels = np.zeros(size, np.uint8)
    rest = np.arange(size)
    for level in range(num_levels - 1):
        rest = rest[~next_string(rest.size)]
        levels[rest] = level + 1
    return levels
