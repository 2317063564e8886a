"""Tests of the compiled loop over batches."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.data import BatchLoop, batch_loop, stacked, unstacked


def batches(*sizes):
    start = 0
    for size in sizes:
        rows = np.arange(start, start + size, dtype=np.float32)
        yield {"x": np.stack([rows, -rows], axis=1)}, rows
        start += size


class BatchLoopTest(parameterized.TestCase):
    @parameterized.parameters(np.asarray, tf.constant)
    def test_stacks_keep_the_order(self, kind):
        given = [
            ({"x": kind(x["x"])}, kind(y)) for x, y in batches(4, 4, 3, 4, 4)
        ]
        stacks = list(stacked(given))
        self.assertEqual([len(y) for _, y in stacks], [2, 1, 2])
        for one, other in zip(given, unstacked(stacks), strict=True):
            np.testing.assert_array_equal(one[0]["x"], other[0]["x"])
            np.testing.assert_array_equal(one[1], other[1])

    def test_stacks_are_not_too_large(self):
        rows = batch_loop.MOST_BYTES // 4 // 3
        given = [np.zeros(rows, np.float32)] * 7
        self.assertEqual([len(s) for s in stacked(given)], [3, 3, 1])
        given = [np.zeros(4 * rows, np.float32)] * 2
        self.assertEqual([len(s) for s in stacked(given)], [1, 1])

    @parameterized.parameters(False, True)
    def test_steps_run_in_order(self, run_eagerly):
        total = tf.Variable(0.0)

        def step(batch, factor, offsets):
            x, y = batch
            first = tf.reduce_sum(x["x"][:, 0] + y + offsets)
            total.assign(factor * total + first)

        def expected():
            value = 0.0
            for x, y in batches(4, 4, 4, 2):
                value = 0.5 * value + (x["x"][:, 0] + y + 1).sum()
            return value

        loop = BatchLoop(step, lambda: total + 0.0, run_eagerly)
        for stack in stacked(batches(4, 4, 4, 2)):
            result = loop(stack, tf.constant(0.5), tf.ones(1))
        self.assertEqual(float(result), expected())

    def test_one_function_for_any_number_of_batches(self):
        traces = []

        def step(batch, constants):
            traces.append(batch[1].shape)

        loop = BatchLoop(step)
        for sizes in ((4, 4), (4, 4, 4), (4,), (3,), (3, 3)):
            for stack in stacked(batches(*sizes)):
                loop(stack, tf.zeros(len(sizes)))
        self.assertEqual([tuple(s) for s in traces], [(4,), (3,)])
