"""The bytes of a bundle, and how a graph reads them.

Codes of any width are cut into digits of 8, 4, 2 or 1 bits, of which a byte
holds a whole number: 3 bits are a digit of two and one of one. Each digit has a
stream of its own, and a table of what is in each of the 256 bytes decodes it.

Rising positions are stored as the gaps between them, in Rice codes: the lower
bits of each gap as they are, the rest in unary. Lower bits and unary parts are
streams of their own, so that all entries are decoded at once, without a loop:

    position[i] = sum(low[:i + 1] + 1 - step) + step * ones[i]

where `ones[i]` is the position of the i-th one in the unary stream, and `step`
is two to the power of the number of lower bits. The first gap is stored
`step - 1` too long, since the sum subtracts that once too often.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from tsn_keras.bank import pack_codes

BYTE_BITS = (np.arange(256)[:, None] >> np.arange(8) & 1).astype(np.uint8)


class ByteStore:
    """Collects parts of any length; equal parts are kept once.

    >>> store = ByteStore()
    >>> store.append(b"abc"), store.append(b"de"), store.append(b"abc")
    (0, 3, 0)
    """

    def __init__(self):
        self._bytes = bytearray()
        self._places: dict[bytes, int] = {}

    def append(self, data) -> int:
        """Adds bytes or an array; returns its place within all bytes."""
        part = bytes(data)
        if part not in self._places:
            self._places[part] = len(self._bytes)
            self._bytes += part
        return self._places[part]

    def array(self) -> np.ndarray:
        """Returns all bytes."""
        return np.frombuffer(bytes(self._bytes), np.uint8)


class ByteReader:
    """Reads the bytes of a store in a graph.

    Places and counts are integer tensors of one entry, so that the converter
    can compute nothing in advance.
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


DIGIT_WIDTHS = (8, 4, 2, 1)


def _digit_table(width: int) -> np.ndarray:
    shifts = np.arange(0, 8, width)
    digits = np.arange(256)[:, None] >> shifts & (2**width - 1)
    return digits.astype(np.uint8)


# The digits of each width in each of the 256 bytes.
TABLES = {width: _digit_table(width) for width in DIGIT_WIDTHS}
ALL_TABLES = np.concatenate([table.reshape(-1) for table in TABLES.values()])
# Where each table begins when all are one after another.
_ENDS = np.cumsum([table.size for table in TABLES.values()])
TABLE_PLACES = dict(zip(TABLES, [0, *_ENDS.tolist()]))


@dataclasses.dataclass(frozen=True)
class Digit:
    """One digit of the codes of a stream: its bits, and its factor.

    Either is `None` if tasks differ.
    """

    width: int | None
    unit: int | None


# A digit that a code lacks counts as one bit, read from any place, times zero.
MISSING = Digit(1, 0)


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
    places = itertools.zip_longest(*map(_cut, widths), fillvalue=MISSING)
    return tuple(map(_common, places))


def _common(digits: tuple) -> Digit:
    widths = {digit.width for digit in digits}
    units = {digit.unit for digit in digits}
    return Digit(
        widths.pop() if len(widths) == 1 else None,
        units.pop() if len(units) == 1 else None,
    )


def _stream_bytes(count: int, width: int) -> int:
    """Returns the bytes of so many digits, filled up to a multiple of eight."""
    # Eight digits of any width fill whole bytes.
    return -(-count // 8) * width


def store_codes(
    store: ByteStore,
    name: str,
    codes: np.ndarray,
    width: int,
    count: int,
    digits: tuple[Digit, ...],
) -> dict:
    """Stores codes; returns the fields to read the first `count` of them.

    The fields' names begin with `name`. `digits` are what the codes of all
    tasks have in common.
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
            digit = MISSING
        row[f"{field}_place"] = place
        row[f"{field}_bytes"] = _stream_bytes(count, digit.width)
        if read.width is None:
            row[f"{field}_table"] = TABLE_PLACES[digit.width]
            row[f"{field}_size"] = TABLES[digit.width].size
        if read.unit is None:
            row[f"{field}_unit"] = digit.unit
    return row


class CodeReader:
    """Reads the codes of the task of a number in a graph."""

    def __init__(self, reader: ByteReader, number: tf.Tensor):
        self._reader = reader
        # A zero that the converter does not know, or it would decode tables.
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
        """Returns what codes mean, which `store_codes` stored.

        With one digit, `meaning` is called for the table only.
        """
        parts = []
        for index, digit in enumerate(digits):
            field = f"{name}_{index}"
            if digit.width is None:
                table = self._table(row[f"{field}_table"], row[f"{field}_size"])
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
        return parts[0] if len(parts) == 1 else meaning(tf.add_n(parts))


@dataclasses.dataclass(frozen=True)
class GapCode:
    """Coded positions: `width` lower bits of each gap, at least one.

    `high` has the bits of the unary parts, a one after as many zeros, and
    `ends` the length of that stream after each entry.
    """

    width: int
    low: np.ndarray
    high: np.ndarray
    ends: np.ndarray

    @property
    def step(self) -> int:
        return 2**self.width

    @property
    def num_bits(self) -> int:
        return self.width * self.low.size + int(self.ends.max(initial=0))


def encode_gaps(
    positions: np.ndarray, widths: Sequence[int] = range(1, 17)
) -> GapCode:
    """Encodes rising positions with the width that takes the fewest bits.

    >>> code = encode_gaps(np.array([2, 3, 9]))
    >>> code.width, code.low, code.ends
    (1, array([1, 0, 1]), array([2, 3, 6]))
    """
    gaps = np.diff(positions, prepend=-1) - 1
    sizes = [width * gaps.size + (gaps >> width).sum() for width in widths]
    width = widths[int(np.argmin(sizes))]
    gaps[:1] += 2**width - 1
    ends = np.cumsum((gaps >> width) + 1)
    unary = np.zeros(ends[-1] if ends.size else 0, np.uint8)
    unary[ends - 1] = 1
    high = np.packbits(unary, bitorder="little")
    return GapCode(width, gaps & (2**width - 1), high, ends)


class TaskTable:
    """A table with a row for each task; a field takes one or more columns.

    Every task adds a row to the file. So a field that is the same for all
    tasks is a constant of the graph and no part of the table, fields that are
    equal share their columns, and numbers that fit in 16 bits take no more.

    What is decoded must depend on the task's number, or the converter would
    compute it in advance. Hence a zero that it does not know is added to
    constants whose names end in one of `hidden`.

    >>> table = TaskTable([{"place": 0, "size": 8}, {"place": 9, "size": 8}])
    >>> table.read(tf.constant(1))["place"].numpy()
    array([9], dtype=int32)
    """

    def __init__(self, rows: list[dict], hidden: tuple[str, ...] = ()):
        self._constants: dict[str, np.ndarray] = {}
        self._hidden: dict[str, np.ndarray] = {}
        self._columns: dict[str, bytes] = {}
        self._parts: dict[type, dict[bytes, np.ndarray]] = {}
        for name in rows[0]:
            values = [np.atleast_1d(row[name]) for row in rows]
            values = np.array(values, np.int32)
            if (values == values[0]).all():
                hides = name.endswith(hidden)
                (self._hidden if hides else self._constants)[name] = values[0]
            else:
                fits = np.array_equal(values, values.astype(np.int16))
                dtype = np.int16 if fits else np.int32
                key = self._columns[name] = values.tobytes()
                self._parts.setdefault(dtype, {})[key] = values.astype(dtype)

    def read(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the fields of a task, int32 tensors of one dimension."""
        tensors = {}
        for columns in self._parts.values():
            table = np.concatenate(list(columns.values()), axis=1)
            row = tf.cast(tf.gather(tf.constant(table), number), tf.int32)
            sizes = [values.shape[1] for values in columns.values()]
            tensors.update(zip(columns, tf.split(row, sizes)))
        fields = {name: tensors[key] for name, key in self._columns.items()}
        fields |= {name: tf.constant(v) for name, v in self._constants.items()}
        if self._hidden:
            hidden = list(self._hidden.values())
            zero = tf.minimum(number, 0)
            values = tf.constant(np.concatenate(hidden)) + zero
            parts = tf.split(values, [part.size for part in hidden])
            fields |= zip(self._hidden, parts)
        return fields
