"""The bytes of a bundle, and how a graph reads them."""

import numpy as np
import tensorflow as tf

BYTE_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)


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

    def bytes(self, place, size):
        """Returns `size` bytes from a place on."""
        return tf.slice(self._data, place, size)

    def octets(self, place, size):
        """Returns the bits of `size` bytes, the lowest first, as uint8."""
        found = tf.cast(self.bytes(place, size), tf.int32)
        return tf.gather(tf.constant(BYTE_BITS), found)

    def floats(self, place, size, dtype=tf.float32):
        """Returns the floats of a dtype in `size` bytes, as float32."""
        found = tf.reshape(self.bytes(place, size), [-1, dtype.size])
        return tf.cast(tf.bitcast(found, dtype), tf.float32)
