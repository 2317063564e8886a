"""Decodes the private variables of a bundle's tasks."""

import tensorflow as tf

from tsn_keras.bank.private_code import FULL, HALF
from tsn_keras.lite.byte_store import ByteReader
from tsn_keras.lite.private_layout import PrivateLayout

FLOATS = {HALF: tf.float16, FULL: tf.float32}


def decode_private(
    layout: PrivateLayout, reader: ByteReader, number: tf.Tensor
) -> list[tf.Tensor]:
    """Returns all private variables of a task.

    Args:
        layout: `PrivateLayout`.
        reader: `ByteReader` of the bytes that it refers to.
        number: int32 scalar, the number of the task.
    """
    table = tf.constant(layout.streams_table)
    row = tf.unstack(tf.gather(table, number))
    entries, scales = _streams(layout, reader, row)
    if layout.uses_others:
        other = tf.unstack(tf.gather(table, row[-1]))
        more_entries, more_scales = _streams(layout, reader, other)
        entries, scales = entries + more_entries, scales + more_scales
    if layout.zeros:
        entries.append(reader.codes(row[-2], layout.zeros, 1))
    entries = tf.concat(entries, axis=0)
    count = len(layout.shapes)
    row = tf.gather(tf.constant(layout.variables_table), number)
    scales = tf.reshape(tf.concat(scales, axis=0), [-1, 2])
    scales = tf.reshape(tf.gather(scales, row[count:]), [-1])
    scales = tf.split(scales, 2 * count)
    return [
        tf.reshape(lowest + step * tf.slice(entries, cut, [size]), shape)
        for cut, size, shape, lowest, step in zip(
            tf.split(row[:count], count),
            layout.sizes,
            layout.shapes,
            scales[0::2],
            scales[1::2],
        )
    ]


def _streams(
    layout: PrivateLayout, reader: ByteReader, row: list
) -> tuple[list, list]:
    """Decodes the streams of a task, and its scales."""
    entries = []
    for width, start, count in zip(layout.widths, row[0::2], row[1::2]):
        if width in FLOATS:
            entries.append(reader.floats(start, count, FLOATS[width]))
        else:
            entries.append(reader.codes(start, count, width))
    start, count = row[2 * len(layout.widths) :][:2]
    return entries, [reader.floats(start, count)]
