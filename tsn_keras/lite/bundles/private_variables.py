"""How a bundle stores the private variables of its tasks.

All variables of a task are decoded at once: its codes of each width are one
stream, and so are its float16 and its float32 entries. The variables are cut
from these streams, one after another. A variable that another task has as well
comes from that task's streams; each task uses one other task at most.

Tasks with other heads have other variables at the end. Then the table says how
large they are, and zeros fill all tasks up to one length.
"""

import itertools
import math

import numpy as np
import tensorflow as tf

from tsn_keras.bank import (
    CONSTANT_WIDTH,
    FLOAT_WIDTH,
    HALF_WIDTH,
    PrivateCode,
    unpack_codes,
)
from tsn_keras.lite.bundles.streams import (
    ByteReader,
    ByteStore,
    CodeReader,
    TaskTable,
    common_digits,
    store_codes,
)

FLOATS = {HALF_WIDTH: tf.float16, FLOAT_WIDTH: tf.float32}
# The pair of lowest value and step for what is stored as it is.
PLAIN = np.array([0.0, 1.0], np.float32)


class _Streams:
    """What one task stores of its variables; task `other` stores the rest.

    Attributes:
        places: dict, for the key of each variable that is stored here its
            width, its place in the stream of that width, and its scale's.
    """

    def __init__(self, codes: list[PrivateCode], keys: set, other: int):
        self.codes, self.other = codes, other
        self.places: dict[tuple, tuple[int, int, int]] = {}
        self._parts: dict[int, list[np.ndarray]] = {}
        self._scales: list[np.ndarray] = []
        for key, code in {_key(code): code for code in codes}.items():
            if key not in keys:
                continue
            width, values, scale = _split(code)
            parts = self._parts.setdefault(width, [])
            start = sum(part.size for part in parts)
            # The last one of a task's scales is `PLAIN`.
            place = -1 if scale is None else len(self._scales)
            self.places[key] = (width, start, place)
            parts.append(values)
            if scale is not None:
                self._scales.append(scale)

    @property
    def widths(self) -> set[int]:
        return set(self._parts) - {CONSTANT_WIDTH}

    @property
    def scales(self) -> np.ndarray:
        """Pairs of lowest value and step."""
        return np.stack([*self._scales, PLAIN])

    def stream(self, width: int) -> np.ndarray:
        # No stream is empty: operators may not expect that.
        return np.concatenate(self._parts.get(width) or [np.zeros(1, np.int64)])


class PrivateLayout:
    """Packs the private variables of tasks into a store.

    Args:
        tasks: of each task, the codes of its variables.
        store: where they go.

    Attributes:
        total: int, the number of entries of all variables together.
        sizes: list of int, the number of entries of each variable; `None` if
            they differ from task to task.
        widths: list of int, the kinds of streams: bits a code, `HALF_WIDTH`
            or `FLOAT_WIDTH`.
        uses_others: bool, whether any task has variables of another.
        zeros: int, zeros that constant variables are cut from.
    """

    def __init__(self, tasks: list[list[PrivateCode]], store: ByteStore):
        self._store = store
        all_sizes = [[math.prod(c.shape) for c in codes] for codes in tasks]
        self._count = max(map(len, all_sizes))
        self.sizes, self.total = all_sizes[0], sum(all_sizes[0])
        if any(sizes != self.sizes for sizes in all_sizes):
            # Every task has a rest, so that none begins behind the end.
            self.sizes, self.total = None, 1 + max(map(sum, all_sizes))
        self._tasks = _own_streams(tasks)
        others = [task.other for task in self._tasks]
        self.uses_others = others != list(range(len(others)))
        self.widths = sorted(set().union(*(t.widths for t in self._tasks)))
        codes = itertools.chain(*tasks)
        constants = (c for c in codes if c.width == CONSTANT_WIDTH)
        self.zeros = max((math.prod(c.shape) for c in constants), default=0)
        if self.sizes is None:
            rests = (self.total - sum(sizes) for sizes in all_sizes)
            self.zeros = max(self.zeros, *rests)
        rows = list(map(self._stream_row, self._tasks))
        self.streams_table = TaskTable(rows, ("_place", "_table", "other"))
        rows = list(map(self._variable_row, self._tasks))
        self.variables_table = TaskTable(rows)

    def _stream_row(self, task: _Streams) -> dict[str, int]:
        """Returns place, bytes and entries of each stream, and of scales."""
        row = {}
        for width in self.widths:
            stream = task.stream(width)
            if width in FLOATS:
                data = stream.astype(FLOATS[width].as_numpy_dtype).tobytes()
                row[f"{width}_place"] = self._store.append(data)
                row[f"{width}_bytes"] = len(data)
            else:
                digits = common_digits([width])
                args = (width, stream, width, stream.size, digits)
                row |= store_codes(self._store, *args)
        scales = task.scales.tobytes()
        row["scales_place"] = self._store.append(scales)
        row["scales_bytes"] = len(scales)
        return {**row, "other": task.other}

    def _variable_row(self, task: _Streams) -> dict[str, list[int]]:
        """Returns where to cut each variable, and where its scale is."""
        both = [task]
        if self.uses_others:
            both.append(self._tasks[task.other])
        starts, end = [], 0
        for streams in both:
            starts.append({})
            for width in self.widths:
                starts[-1][width] = end
                end += streams.stream(width).size
        cuts, scales = [], []
        for key in map(_key, task.codes):
            owner = 0 if key in task.places else 1
            width, place, scale = both[owner].places[key]
            is_constant = width == CONSTANT_WIDTH
            cuts.append(end if is_constant else starts[owner][width] + place)
            before = len(task.scales) if owner else 0
            scales.append(before + (scale % len(both[owner].scales)))
        row = {"cuts": cuts, "scales": scales}
        if self.sizes is None:
            sizes = [math.prod(code.shape) for code in task.codes]
            missing = [0] * (self._count - len(sizes))
            row["sizes"] = [*sizes, *missing, self.total - sum(sizes)]
            # What is missing is zeros, as they are.
            others = [0] * (1 + len(missing))
            plain = len(task.scales) - 1
            row["cuts"] = [*cuts, *(end + zero for zero in others)]
            row["scales"] = [*scales, *(plain + zero for zero in others)]
        return row


def _key(code: PrivateCode) -> tuple:
    return code.width, code.shape, code.dtype, code.data


def _own_streams(tasks: list[list[PrivateCode]]) -> list[_Streams]:
    """Stores each task without what one earlier task has of it.

    The earlier one is that with the most bytes in common. A task without any
    refers to itself.
    """
    found: list[_Streams] = []
    for index, codes in enumerate(tasks):
        keys = set(map(_key, codes))
        shared = [
            sum(len(key[-1]) for key in keys & set(earlier.places))
            for earlier in found
        ]
        other = int(np.argmax(shared)) if any(shared) else index
        if other != index:
            keys -= set(found[other].places)
        found.append(_Streams(codes, keys, other))
    return found


def _split(code: PrivateCode) -> tuple:
    """Returns the width, the flat entries, and the scale of a variable."""
    if code.width == CONSTANT_WIDTH:
        value = np.frombuffer(code.data, np.float32)[0]
        return CONSTANT_WIDTH, np.zeros(0), np.array([value, 0], np.float32)
    if code.width == HALF_WIDTH:
        return HALF_WIDTH, np.frombuffer(code.data, np.float16), None
    if code.width == FLOAT_WIDTH or code.width < 0:
        return FLOAT_WIDTH, np.float32(code.decode()).reshape(-1), None
    scale = np.frombuffer(code.data[:8], np.float32)
    stream = np.frombuffer(code.data[8:], np.uint8)
    codes = unpack_codes(stream, code.width, math.prod(code.shape))
    return code.width, codes.reshape(-1), scale


def decode_private(
    layout: PrivateLayout, reader: ByteReader, number, codes: CodeReader
) -> tf.Tensor:
    """Returns all entries of the task of a number, one variable after another.

    Behind them are zeros if other tasks have more.
    """
    if not layout.total:
        return tf.zeros([0])
    row = layout.streams_table.read(number)
    entries, scales = _decoded_streams(layout, reader, row, codes)
    if layout.uses_others:
        other = layout.streams_table.read(tf.reshape(row["other"], []))
        more = _decoded_streams(layout, reader, other, codes)
        entries, scales = entries + more[0], scales + more[1]
    # A zero that the converter does not know, lest it computes constants.
    zero = tf.minimum(number, 0)
    if layout.zeros:
        entries.append(tf.fill([layout.zeros], tf.cast(zero, tf.float32)))
    # Behind a concatenation: the converter would gather a lone stream of
    # float16 before its cast, and LiteRT has no such operator.
    entries.append(tf.zeros([1]))
    row = layout.variables_table.read(number)
    entries = tf.concat(entries, axis=0)
    scales = tf.reshape(tf.concat(scales, axis=0), [-1, 2])
    return _cut(layout, entries, scales, row, zero)


def split_private(
    values: tf.Tensor, shapes: list[tuple[int, ...]]
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Returns the first variables among all entries, and what is behind.

    Nothing is behind if there are no more.
    """
    sizes = list(map(math.prod, shapes))
    behind = values.shape[0] - sum(sizes)
    if not sizes:
        return [], values
    *parts, rest = tf.split(values, [*sizes, behind] if behind else sizes)
    if not behind:
        parts, rest = [*parts, rest], tf.zeros([0])
    return [tf.reshape(part, s) for part, s in zip(parts, shapes)], rest


def _cut(layout: PrivateLayout, entries, scales, row: dict, zero):
    """Returns the entries of all variables, scaled, one after another."""
    # All at once: a few operators, and not a few for each variable.
    total = layout.total
    if layout.sizes is None:
        starts = tf.cumsum(row["sizes"], exclusive=True)
        places = tf.reshape(starts, [-1, 1])
    else:
        sizes = np.array(layout.sizes)
        starts = (np.cumsum(sizes) - sizes).astype(np.int32)
        places = starts[:, None]
    # Those without entries begin where the next one does, and add up.
    marks = tf.scatter_nd(places, tf.ones_like(starts) + zero, [total])
    variable = tf.cumsum(marks) - 1
    place = tf.range(total + zero) + tf.gather(row["cuts"] - starts, variable)
    lowest, step = tf.split(tf.gather(scales, row["scales"]), 2, axis=1)
    lowest = tf.gather(tf.reshape(lowest, [-1]), variable)
    step = tf.gather(tf.reshape(step, [-1]), variable)
    return lowest + step * tf.gather(entries, place)


def _decoded_streams(
    layout: PrivateLayout, reader: ByteReader, row: dict, codes: CodeReader
) -> tuple[list, list]:
    """Decodes the streams of a task, and its scales."""
    entries = []
    for width in layout.widths:
        if width in FLOATS:
            place, size = row[f"{width}_place"], row[f"{width}_bytes"]
            entries.append(reader.floats(place, size, FLOATS[width]))
        else:
            found = codes.read(row, f"{width}", common_digits([width]))
            entries.append(tf.cast(found, tf.float32))
    return entries, [reader.floats(row["scales_place"], row["scales_bytes"])]
