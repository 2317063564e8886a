"""The bytes of a bundle, and how a graph reads them."""

import numpy as np
import tensorflow as tf

BYTE_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)
POWERS = np.float32(2.0) ** np.arange(16, dtype=np.float32)[:, None]


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

    def bytes(self, start, size):
        """Returns `size` bytes from the place `start` on."""
        return tf.slice(self._data, vector(start), vector(size))

    def bits(self, start, count):
        """Returns `count` bits, the lowest of each byte first, as uint8."""
        found = self.bytes(start, (count + 7) // 8)
        bits = tf.gather(tf.constant(BYTE_BITS), tf.cast(found, tf.int32))
        return tf.slice(tf.reshape(bits, [-1]), [0], vector(count))

    def codes(self, start, count, width):
        """Returns `count` numbers of `width` bits each, as float32."""
        bits = self.bits(start, count * width)
        shape = tf.concat([vector(count), vector(width)], axis=0)
        bits = tf.reshape(bits, shape)
        shape = tf.concat([vector(width), [1]], axis=0)
        powers = tf.slice(tf.constant(POWERS), [0, 0], shape)
        numbers = tf.matmul(tf.cast(bits, tf.float32), powers)
        return tf.reshape(numbers, [-1])

    def floats(self, start, count, dtype=tf.float32):
        """Returns `count` floats of a dtype, as float32."""
        found = self.bytes(start, count * dtype.size)
        parts = tf.bitcast(tf.reshape(found, [-1, dtype.size]), dtype)
        return tf.cast(parts, tf.float32)


def vector(size):
    """Returns an integer as an int32 tensor of one entry."""
    return tf.reshape(tf.cast(size, tf.int32), [1])
