"""Batches from arrays, row numbers and a transformation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tsn_keras.data import count_passes

# Large enough that the cost per batch vanishes; nothing is learned from it.
EVALUATION_BATCH_SIZE = 1000
# Large examples are evaluated in smaller batches, of so many bytes.
MOST_BATCH_BYTES = 1 << 26


def evaluation_batch_size(batch_size: int, example_bytes: int) -> int:
    """Returns the batch size for validation and test data.

    Args:
        batch_size: That of training, which it is at least.
    """
    most = MOST_BATCH_BYTES // max(example_bytes, 1)
    return max(batch_size, min(EVALUATION_BATCH_SIZE, most))


def on_host(array: np.ndarray) -> tf.Tensor:
    """Copies an array to a tensor in host memory.

    All pipelines that read the tensor share it. An array would be copied into
    the graph of each.
    """
    with tf.device("CPU:0"):
        return tf.constant(array)


def split_rows(
    rows: np.ndarray, validation_split: float, seed: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows at random into training and validation rows.

    Each of the two is sorted and has at least one row.
    """
    if len(rows) < 2:
        raise ValueError(
            "A task needs at least two training images, one of them to "
            f"validate with. Received: {len(rows)}. Give the task more "
            "training images."
        )
    count = round(len(rows) * validation_split)
    count = min(max(count, 1), len(rows) - 1)
    shuffled = np.random.default_rng(seed).permutation(rows)
    return np.sort(shuffled[count:]), np.sort(shuffled[:count])


def batches(
    images: tf.Tensor,
    labels: tf.Tensor,
    rows: np.ndarray,
    batch_size: int,
    transform: Callable[[tf.Tensor], tf.Tensor],
    shuffle_seed: int | None = None,
) -> tf.data.Dataset:
    """Builds batches of some rows of the data.

    Row numbers are shuffled and batched. Then whole batches are gathered,
    scaled (uint8 by 1/255) and transformed. A task holds nothing but row
    numbers, and shuffling costs 8 bytes a row. The last batch may be smaller.

    Args:
        images: All images, `[n, height, width, channels]`.
        rows: Numbers of the rows to read.
        transform: From float32 images `[batch, height, width, channels]` to
            the float32 inputs of the task.
        shuffle_seed: Seed of the order, which differs from epoch to epoch.
            None keeps the given order. The order depends only on this seed and
            on how often the data set was read (`data.passes_of`), not on
            TensorFlow's global seed.
    """

    def gather(rows_of_batch):
        x = tf.gather(images, rows_of_batch)
        if x.dtype == tf.uint8:
            x = tf.cast(x, tf.float32) / 255.0
        x = transform(tf.cast(x, tf.float32))
        return x, tf.gather(labels, rows_of_batch)

    return batches_of_rows(gather, rows, batch_size, shuffle_seed)


def batches_of_rows(
    read: Callable[[tf.Tensor], Any],
    rows: np.ndarray,
    batch_size: int,
    shuffle_seed: int | None = None,
) -> tf.data.Dataset:
    """Builds batches of what is read, given the row numbers of a batch.

    The other arguments are those of `batches`.
    """
    rows = rows.astype(np.int64)
    if shuffle_seed is None:
        dataset = tf.data.Dataset.from_tensor_slices(rows)
    else:
        passes = tf.Variable(-1, dtype=tf.int64, trainable=False)
        dataset = _shuffled_rows(rows, shuffle_seed, passes)
    dataset = dataset.batch(batch_size)
    dataset = dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    if shuffle_seed is not None:
        count_passes(dataset, passes)
    return dataset


def _shuffled_rows(rows, seed, passes):
    """Gives row numbers in a new order in every pass.

    `Dataset.shuffle` would mix the seed with TensorFlow's global one, and so
    with whatever ran before in the same process.
    """

    def shuffle(_):
        return tf.random.experimental.stateless_shuffle(
            rows, seed=tf.stack([seed, passes.assign_add(1)])
        )

    dataset = tf.data.Dataset.from_tensors(0).map(shuffle).unbatch()
    return dataset.apply(tf.data.experimental.assert_cardinality(len(rows)))
