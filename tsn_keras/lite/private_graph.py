"""Decodes the private variables of a bundle's tasks."""

import numpy as np
import tensorflow as tf

from tsn_keras.bank import FLOAT_WIDTH as FULL
from tsn_keras.bank import HALF_WIDTH as HALF
from tsn_keras.lite.byte_store import ByteReader
from tsn_keras.lite.code_streams import CodeReader, common_digits
from tsn_keras.lite.private_layout import PrivateLayout

FLOATS = {HALF: tf.float16, FULL: tf.float32}


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
