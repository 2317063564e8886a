"""The bytes of a bundle, and how a graph reads them."""

import numpy as np
import tensorflow as tf

from tsn_keras.bank import packing

BYTE_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
# Codes of these widths never lie in two bytes.
TABLE_WIDTHS = (1, 2, 4, 8)
POWERS = np.float32(2.0) ** np.arange(16, dtype=np.float32)[:, None]


def code_bytes(count: int, width: int) -> int:
    """Returns the bytes of so many codes, filled up to a multiple of eight.

    Eight codes fill whole bytes, so that a graph can take codes out of them
    without counting bits.
    """
    return -(-count // 8) * width


def code_table(width: int) -> np.ndarray:
    """Returns the codes in each of the 256 bytes, as uint8.

    Args:
        width: int, one of `TABLE_WIDTHS`.
    """
    shifts = np.arange(0, 8, width)
    codes = np.arange(256)[:, None] >> shifts & (2**width - 1)
    return codes.astype(np.uint8)


CODE_TABLES = {width: code_table(width) for width in TABLE_WIDTHS}
# Where each table begins when all are one after another.
TABLE_PLACES = dict(
    zip(TABLE_WIDTHS, np.cumsum([0, *(t.size for t in CODE_TABLES.values())]))
)


class ByteStore:
    """Collects parts of any length; equal parts are kept once.

    >>> store = ByteStore()
    >>> store.append(b"abc"), store.append(b"de"), store.append(b"abc")
    (0, 3, 0)
    """

    def __init__(self):
        self._parts: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._size = 0

    def append(self, data) -> int:
        """Returns the place of a part within the bytes.

        Args:
            data: bytes, or array of any dtype.
        """
        part = bytes(data)
        if part not in self._places:
            self._places[part] = self._size
            self._parts.append(part)
            self._size += len(part)
        return self._places[part]

    def append_codes(self, codes: np.ndarray, width: int) -> int:
        """Returns the place of codes, filled up to a multiple of eight.

        Args:
            codes: integer array, one-dimensional.
            width: int, bits of each.
        """
        stream = packing.pack_codes(codes, width)
        size = code_bytes(codes.size, width)
        return self.append(stream.tobytes().ljust(size, b"\0"))

    def array(self) -> np.ndarray:
        """Returns all bytes."""
        return np.frombuffer(b"".join(self._parts), np.uint8)


class ByteReader:
    """Reads the bytes of a store in a graph.

    Places and counts are integer tensors of one entry, so that the converter
    can compute nothing in advance.

    Args:
        data: uint8 array.
    """

    def __init__(self, data: np.ndarray):
        self._data = tf.constant(data)

    def bytes(self, place, size):
        """Returns `size` bytes from a place on."""
        return tf.slice(self._data, place, size)

    def octets(self, place, size):
        """Returns the bits of `size` bytes, the lowest first, as uint8."""
        found = tf.cast(self.bytes(place, size), tf.int32)
        return tf.gather(tf.constant(BYTE_BITS), found)

    def codes(self, place, size, count, shape, extent):
        """Returns numbers of some bits each, as float32.

        Args:
            place: int32 tensor of one entry.
            size: int32 tensor of one entry, `code_bytes(count, width)`.
            count: int32 tensor of one entry, how many numbers there are.
            shape: two integers, -1 and the width in bits.
            extent: two integers, the width in bits and 1.
        """
        bits = tf.cast(tf.reshape(self.octets(place, size), shape), tf.float32)
        powers = tf.slice(tf.constant(POWERS), [0, 0], extent)
        numbers = tf.reshape(tf.matmul(bits, powers), [-1])
        return tf.slice(numbers, [0], count)

    def table(self, place, size, shape):
        """Returns one of `CODE_TABLES`, as int32.

        Args:
            place: int32 tensor of one entry, of `TABLE_PLACES`.
            size: int32 tensor of one entry, the table's.
            shape: int32 tensor, the table's.
        """
        tables = [table.reshape(-1) for table in CODE_TABLES.values()]
        found = tf.slice(tf.constant(np.concatenate(tables)), place, size)
        return tf.cast(tf.reshape(found, shape), tf.int32)

    def looked_up(self, place, size, count, table):
        """Returns what a table says of each code.

        It takes fewer operators than `codes`, which takes any width.

        Args:
            place: int32 tensor of one entry.
            size: int32 tensor of one entry, `code_bytes(count, width)`.
            count: int32 tensor of one entry, how many codes there are.
            table: tensor with a row for each byte, an entry for each code.
        """
        found = tf.cast(self.bytes(place, size), tf.int32)
        values = tf.reshape(tf.gather(table, found), [-1])
        return tf.slice(values, [0], count)

    def floats(self, place, size, dtype=tf.float32):
        """Returns the floats of a dtype in `size` bytes, as float32."""
        found = tf.reshape(self.bytes(place, size), [-1, dtype.size])
        return tf.cast(tf.bitcast(found, dtype), tf.float32)
