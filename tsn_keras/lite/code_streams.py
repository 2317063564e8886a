"""Codes of any width in a bundle's bytes, and how a graph reads them.

A code of so many bits is cut into digits of 8, 4, 2 or 1 bits, of which a byte
holds a whole number: 3 bits are a digit of two and one of one. Each digit has a
stream of its own, and a table of what is in each of the 256 bytes decodes it.
"""

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tsn_keras.bank import pack_codes
from tsn_keras.lite.byte_store import ByteReader, ByteStore

DIGIT_WIDTHS = (8, 4, 2, 1)


def _digit_table(width: int) -> np.ndarray:
    """Returns the digits in each of the 256 bytes, as uint8."""
    shifts = np.arange(0, 8, width)
    digits = np.arange(256)[:, None] >> shifts & (2**width - 1)
    return digits.astype(np.uint8)


TABLES = {width: _digit_table(width) for width in DIGIT_WIDTHS}
ALL_TABLES = np.concatenate([table.reshape(-1) for table in TABLES.values()])
# Where each table begins when all are one after another.
_ENDS = np.cumsum([table.size for table in TABLES.values()])
TABLE_PLACES = dict(zip(TABLES, [0, *_ENDS.tolist()]))


@dataclasses.dataclass(frozen=True)
class Digit:
    """One digit of the codes of a stream.

    Args:
        width: int or `None`, its bits; `None` if tasks differ.
        unit: int or `None`, what it is multiplied by; `None` if tasks differ.
    """

    width: int | None
    unit: int | None


def _cut(width: int) -> list[Digit]:
    """Returns the digits of a code, the highest first."""
    found = []
    for digit in DIGIT_WIDTHS:
        while width >= digit:
            width -= digit
            found.append(Digit(digit, 2**width))
    return found


def common_digits(widths: Iterable[int]) -> tuple[Digit, ...]:
    """Returns what codes of different widths have in common.

    >>> common_digits([3])
    (Digit(width=2, unit=2), Digit(width=1, unit=1))
    >>> common_digits([2, 3])
    (Digit(width=2, unit=None), Digit(width=1, unit=None))
    """
    all_cut = [_cut(width) for width in widths]
    count = max(map(len, all_cut))
    # A code of fewer digits than others has more that count nothing.
    places = zip(*(cut + [None] * (count - len(cut)) for cut in all_cut))
    return tuple(_common(place) for place in places)


def _common(digits: tuple) -> Digit:
    # A missing digit is read from a stream of the code's own, which has at
    # least a bit for each code.
    widths = {digit.width if digit else 1 for digit in digits}
    units = {digit.unit if digit else 0 for digit in digits}
    return Digit(
        widths.pop() if len(widths) == 1 else None,
        units.pop() if len(units) == 1 else None,
    )


def _stream_bytes(count: int, width: int) -> int:
    """Returns the bytes of so many digits, filled up to a multiple of eight.

    Eight digits fill whole bytes, so that a graph can take digits out of them
    without counting bits.
    """
    return -(-count // 8) * width


def store_codes(
    store: ByteStore,
    name: str,
    codes: np.ndarray,
    width: int,
    count: int,
    digits: tuple[Digit, ...],
) -> dict:
    """Stores codes; returns the fields to read the first of them with.

    Args:
        store: `ByteStore`.
        name: str, what the fields' names begin with.
        codes: integer array, one-dimensional.
        width: int, bits of each.
        count: int, codes to read.
        digits: tuple of `Digit`, as they are read.
    """
    row = {f"{name}_count": count}
    own, codes = _cut(width), np.asarray(codes, np.int64)
    for index, read in enumerate(digits):
        field, place = f"{name}_{index}", 0
        if index < len(own):
            digit = own[index]
            stream = codes // digit.unit % 2**digit.width
            stream = pack_codes(stream, digit.width).tobytes()
            size = _stream_bytes(codes.size, digit.width)
            place = store.append(stream.ljust(size, b"\0"))
        else:
            # Any bytes will do.
            digit = Digit(1, 0)
        row[f"{field}_place"] = place
        row[f"{field}_bytes"] = _stream_bytes(count, digit.width)
        if read.width is None:
            row[f"{field}_table"] = TABLE_PLACES[digit.width]
            row[f"{field}_size"] = TABLES[digit.width].size
        if read.unit is None:
            row[f"{field}_unit"] = digit.unit
    return row


class CodeReader:
    """Reads the codes of a task in a graph.

    Args:
        reader: `ByteReader`.
        number: int32 scalar, the number of the task.
    """

    def __init__(self, reader: ByteReader, number: tf.Tensor):
        self._reader = reader
        # A zero that the converter does not know, lest it decodes tables.
        self._zero = tf.reshape(tf.minimum(number, 0), [1])
        self._tables: dict[int, tf.Tensor] = {}

    def _table(self, place, size):
        found = tf.slice(tf.constant(ALL_TABLES), place, size)
        return tf.cast(tf.reshape(found, [256, -1]), tf.int32)

    def _table_of_width(self, width: int):
        if width not in self._tables:
            place = self._zero + TABLE_PLACES[width]
            self._tables[width] = self._table(place, [TABLES[width].size])
        return self._tables[width]

    def read(
        self,
        row: dict,
        name: str,
        digits: tuple[Digit, ...],
        meaning: Callable = tf.identity,
    ) -> tf.Tensor:
        """Returns what codes mean.

        Args:
            row: dict of tensors, the fields of `store_codes`.
            name: str, as there.
            digits: tuple of `Digit`, as there.
            meaning: function of an int32 tensor of codes. It is called for the
                table alone if there is one digit.
        """
        parts = []
        for index, digit in enumerate(digits):
            field = f"{name}_{index}"
            if digit.width is None:
                place, size = row[f"{field}_table"], row[f"{field}_size"]
                table = self._table(place, size)
            else:
                table = self._table_of_width(digit.width)
            if digit.unit is None:
                table *= row[f"{field}_unit"]
            elif digit.unit > 1:
                table *= digit.unit
            if len(digits) == 1:
                table = meaning(table)
            place, size = row[f"{field}_place"], row[f"{field}_bytes"]
            found = tf.cast(self._reader.bytes(place, size), tf.int32)
            found = tf.reshape(tf.gather(table, found), [-1])
            parts.append(tf.slice(found, [0], row[f"{name}_count"]))
        if len(parts) == 1:
            return parts[0]
        return meaning(tf.add_n(parts))
