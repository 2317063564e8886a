"""What a graph reads for a task is what was put down for it."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.lite.task_table import TaskTable


class TaskTableTest(parameterized.TestCase):
    @parameterized.parameters((), ("place",), ("place", "shape", "far"))
    def test_every_field_comes_back(self, *hidden):
        rows = [
            {
                "place": 100_000 * task,
                "same_place": 7,
                "shape": (-1, 3),
                "size": 40 + task,
                "far": -(2**31),
                "also_size": 40 + task,
            }
            for task in range(3)
        ]
        table = TaskTable(rows, hidden)
        for task, row in enumerate(rows):
            found = table.read(tf.constant(task))
            for name, value in row.items():
                np.testing.assert_array_equal(
                    found[name], np.atleast_1d(value), name
                )

    @parameterized.parameters(
        # What is equal is no column, and what two fields have in common is one.
        ([{"a": 1, "b": 5}, {"a": 1, "b": 6}], (), 4),
        ([{"a": 5, "b": 5}, {"a": 6, "b": 6}], (), 4),
        ([{"a": 1, "b": 5}, {"a": 1, "b": 6}], ("a",), 4),
        ([{"a": 2**15}, {"a": 0}], (), 8),
        ([{"a": (1, 2)}, {"a": (1, 3)}], (), 8),
        ([{"a": 1}], (), 0),
    )
    def test_bytes(self, rows, hidden, num_bytes):
        self.assertEqual(TaskTable(rows, hidden).num_bytes, num_bytes)
