"""How a bundle stores the private variables of its tasks.

All variables of a task are decoded at once: its codes of each width are one
stream, and so are its float16 and its float32 entries. What a variable is
cut from is the row of these streams, one after another. A variable that
another task has as well comes from that task's streams; of these other tasks
there is one at most.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tsn_keras.bank import PrivateCode, packing
from tsn_keras.lite.bundles.streams import (
    ByteReader,
    ByteStore,
    CodeReader,
    TaskTable,
    common_digits,
    store_codes,
)

# Widths of a `PrivateCode` that are no number of bits a code.
CONSTANT, HALF, FULL = 0, 16, 32
FLOATS = {HALF: tf.float16, FULL: tf.float32}
# The pair of lowest value and step for what is stored as it is.
PLAIN = np.array([0.0, 1.0], np.float32)


@dataclasses.dataclass
class _Streams:
    """What one task stores of its own.

    Args:
        codes: dict of lists of int arrays by width in bits, and of float
            arrays for `HALF` and `FULL`.
        scales: list of float32 pairs, lowest value and step.
        places: dict, for the key of each variable its width, its place in
            the stream of that width, and the place of its scale.
    """

    codes: dict[int, list[np.ndarray]]
    scales: list[np.ndarray]
    places: dict[tuple, tuple[int, int, int]]


class PrivateLayout:
    """Packs the private variables of tasks.

    Args:
        tasks: list of the private codes of each task, as lists.
        store: `ByteStore` that the bytes go to.

    Attributes:
        shapes: list of tuples of int, of the variables.
        widths: list of int, the kinds of streams: bits a code, `HALF` for
            float16 and `FULL` for float32 entries.
        uses_others: bool, whether any task has variables of another.
        zeros: int, zeros that constant variables are cut from.
    """

    def __init__(self, tasks: list[list[PrivateCode]], store: ByteStore):
        self.shapes = [code.shape for code in tasks[0]]
        self._others, stored = _choose_others(tasks)
        self.uses_others = any(
            other != index for index, other in enumerate(self._others)
        )
        self._streams = [
            _own_streams(codes, keys) for codes, keys in zip(tasks, stored)
        ]
        found = {w for s in self._streams for w in s.codes}
        self.widths = sorted(found - {CONSTANT})
        constants = [
            int(np.prod(code.shape, dtype=np.int64))
            for codes in tasks
            for code in codes
            if code.width == CONSTANT
        ]
        self.zeros = max(constants, default=0)
        self._store = store
        self.streams_table = TaskTable(
            [
                {**self._stream_row(streams), "other": other}
                for streams, other in zip(self._streams, self._others)
            ],
            hidden=("_place", "_table", "other"),
        )
        self.variables_table = TaskTable(
            [self._variable_row(i, codes) for i, codes in enumerate(tasks)]
        )

    @property
    def sizes(self) -> list[int]:
        """The number of entries of each variable."""
        return [int(np.prod(s, dtype=np.int64)) for s in self.shapes]

    def _stream(self, streams: _Streams, width: int) -> np.ndarray:
        # No stream is empty: operators may not expect that.
        parts = streams.codes.get(width) or [np.zeros(1, np.int64)]
        return np.concatenate([part.reshape(-1) for part in parts])

    def _scales(self, streams: _Streams) -> np.ndarray:
        return np.stack([*streams.scales, PLAIN])

    def _stream_row(self, streams: _Streams) -> dict[str, int]:
        """Returns place, bytes and entries of each stream, and of scales."""
        row = {}
        for width in self.widths:
            stream = self._stream(streams, width)
            if width in FLOATS:
                data = stream.astype(FLOATS[width].as_numpy_dtype).tobytes()
                row[f"{width}_place"] = self._store.append(data)
                row[f"{width}_bytes"] = len(data)
            else:
                digits = common_digits([width])
                row |= store_codes(
                    self._store, width, stream, width, stream.size, digits
                )
        scales = self._scales(streams).tobytes()
        row["scales_place"] = self._store.append(scales)
        row["scales_bytes"] = len(scales)
        return row

    def _variable_row(self, index: int, codes: list[PrivateCode]) -> dict:
        """Returns where to cut each variable, and where its scale is."""
        both = [self._streams[index]]
        if self.uses_others:
            both.append(self._streams[self._others[index]])
        ends, end = [], 0
        for streams in both:
            ends.append({})
            for width in self.widths:
                ends[-1][width] = end
                end += self._stream(streams, width).size
        cuts, scales = [], []
        for code in codes:
            key = _key(code)
            owner = 0 if key in both[0].places else 1
            width, place, scale = both[owner].places[key]
            is_constant = width == CONSTANT
            cuts.append(end if is_constant else ends[owner][width] + place)
            before = len(self._scales(both[0])) if owner else 0
            # The last one of a task's scales is `PLAIN`.
            scales.append(before + (scale % len(self._scales(both[owner]))))
        return {"cuts": cuts, "scales": scales}


def _key(code: PrivateCode) -> tuple:
    return code.width, code.shape, code.dtype, code.data


def _choose_others(tasks: list[list[PrivateCode]]) -> tuple[list, list]:
    """Chooses for each task the earlier one that stores most of it.

    Returns:
        list of the other task of each task, which is itself if no other has
        any of its variables; and list of sets, the keys of what each stores
        itself.
    """
    others: list[int] = []
    stored: list[set] = []
    for index, codes in enumerate(tasks):
        keys = set(map(_key, codes))
        shared = [
            sum(len(key[-1]) for key in keys & earlier) for earlier in stored
        ]
        best = int(np.argmax(shared)) if any(shared) else index
        others.append(best)
        stored.append(keys - stored[best] if best != index else keys)
    return others, stored


def _own_streams(codes: list[PrivateCode], keys: set) -> _Streams:
    """Returns what a task stores itself, which is the variables of `keys`."""
    streams = _Streams({}, [], {})
    lengths: dict[int, int] = {}
    for code in codes:
        key = _key(code)
        if key not in keys or key in streams.places:
            continue
        width, values, scale = _split(code)
        place = -1
        if scale is not None:
            place = len(streams.scales)
            streams.scales.append(scale)
        streams.places[key] = (width, lengths.get(width, 0), place)
        if width != CONSTANT:
            streams.codes.setdefault(width, []).append(values)
            lengths[width] = lengths.get(width, 0) + values.size
    return streams


def _split(code: PrivateCode) -> tuple:
    """Returns the width, the entries, and the scale of a variable."""
    if code.width == CONSTANT:
        value = np.frombuffer(code.data, np.float32)[0]
        return CONSTANT, None, np.array([value, 0], np.float32)
    if code.width == HALF:
        return HALF, np.frombuffer(code.data, np.float16), None
    if code.width == FULL or code.width < 0:
        return FULL, np.float32(code.decode()).reshape(-1), None
    scale = np.frombuffer(code.data[:8], np.float32)
    stream = np.frombuffer(code.data[8:], np.uint8)
    count = int(np.prod(code.shape, dtype=np.int64))
    return code.width, packing.unpack_codes(stream, code.width, count), scale


def decode_private(
    layout: PrivateLayout,
    reader: ByteReader,
    number: tf.Tensor,
    codes: CodeReader,
) -> list[tf.Tensor]:
    """Returns all private variables of a task.

    Args:
        layout: `PrivateLayout`.
        reader: `ByteReader` of the bytes that it refers to.
        number: int32 scalar, the number of the task.
        codes: `CodeReader` of the same bytes.
    """
    if not layout.sizes:
        return []
    row = layout.streams_table.read(number)
    entries, scales = _streams(layout, reader, row, codes)
    if layout.uses_others:
        other = layout.streams_table.read(tf.reshape(row["other"], []))
        more_entries, more_scales = _streams(layout, reader, other, codes)
        entries, scales = entries + more_entries, scales + more_scales
    # A zero that the converter does not know, lest it computes constants.
    zero = tf.minimum(number, 0)
    if layout.zeros:
        entries.append(tf.fill([layout.zeros], tf.cast(zero, tf.float32)))
    # Behind a concatenation: the converter would gather a lone stream of
    # float16 before its cast, and LiteRT has no such operator.
    entries.append(tf.zeros([1]))
    row = layout.variables_table.read(number)
    values = _cut(
        layout,
        tf.concat(entries, axis=0),
        tf.reshape(tf.concat(scales, axis=0), [-1, 2]),
        row["cuts"],
        row["scales"],
        zero,
    )
    return [
        tf.reshape(part, shape)
        for part, shape in zip(tf.split(values, layout.sizes), layout.shapes)
    ]


def _cut(layout: PrivateLayout, entries, scales, places, pairs, zero):
    """Returns the entries of all variables, scaled, one after another.

    All at once: a bundle has a few operators here, not some for each variable.
    """
    sizes = np.array(layout.sizes)
    starts = (np.cumsum(sizes) - sizes).astype(np.int32)
    total = int(sizes.sum())
    marks = tf.scatter_nd(starts[:, None], tf.ones_like(starts) + zero, [total])
    variable = tf.cumsum(marks) - 1
    place = tf.range(total + zero) + tf.gather(places - starts, variable)
    lowest, step = tf.split(tf.gather(scales, pairs), 2, axis=1)
    lowest = tf.gather(tf.reshape(lowest, [-1]), variable)
    step = tf.gather(tf.reshape(step, [-1]), variable)
    return lowest + step * tf.gather(entries, place)


def _streams(
    layout: PrivateLayout,
    reader: ByteReader,
    row: dict[str, tf.Tensor],
    codes: CodeReader,
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
