"""Tests of AccuracyMatrix."""

import dataclasses
import json

import keras
import numpy as np
from absl.testing import parameterized

from tsn_keras.evaluation import AccuracyMatrix


@dataclasses.dataclass
class Part:
    name: str
    test: tuple


class TaskModel(keras.Model):
    """Has one output column per task, as a model with heads would."""

    def __init__(self, names):
        super().__init__()
        self.names = names
        self.calls = []
        self.dense = keras.layers.Dense(len(names))

    def call(self, x):
        return self.dense(x)

    def evaluate(self, x, task=None, **kwargs):
        self.calls.append(task)
        inputs, labels = x
        column = self.names.index(task)
        outputs = self.predict(inputs, verbose=0)[:, column] > 0
        accuracy = np.float32(np.mean(outputs == labels))
        return {"accuracy": accuracy, "loss": 1 - accuracy}


def make_tasks(names):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype("float32")
    return [Part(n, (x, x[:, i] > 0)) for i, n in enumerate(names)]


class AccuracyMatrixTest(parameterized.TestCase):
    def test_every_entry_is_evaluated_again(self):
        names = ["a", "b", "c"]
        model, tasks = TaskModel(names), make_tasks(names)
        model(tasks[0].test[0])
        matrix = AccuracyMatrix(names)
        kernel = np.zeros((4, 3), "float32")
        for row in range(3):
            # Learning a task spoils the one before.
            kernel[row, row] = 1.0
            if row:
                kernel[row - 1, row - 1] = -1.0
            model.dense.set_weights([kernel, np.zeros(3)])
            stored = matrix.evaluate_row(model, tasks, row)
            self.assertLen(stored, row + 1)
        self.assertEqual(model.calls, ["a", "a", "b", "a", "b", "c"])
        self.assertEqual(
            matrix.to_list(),
            [[1.0, None, None], [0.0, 1.0, None], [0.0, 0.0, 1.0]],
        )

    def test_another_metric(self):
        model, tasks = TaskModel(["a"]), make_tasks(["a"])
        matrix = AccuracyMatrix(1)
        (loss,) = matrix.evaluate_row(model, tasks, 0, metric="loss")
        self.assertEqual(matrix.values[0, 0], loss)
        with self.assertRaisesRegex(ValueError, r"\['accuracy', 'loss'\]"):
            matrix.evaluate_row(model, tasks, 0, metric="f1")

    def test_the_upper_triangle_may_be_recorded(self):
        matrix = AccuracyMatrix(2)
        matrix.record(0, 1, 0.1)
        self.assertEqual(matrix.values[0, 1], 0.1)
        self.assertEqual(
            json.loads(json.dumps(matrix.to_list()))[1], [None] * 2
        )

    def test_values_are_a_copy(self):
        matrix = AccuracyMatrix(2)
        matrix.values[:] = 1.0
        self.assertTrue(np.isnan(matrix.values).all())

    def test_tasks_in_another_order(self):
        matrix = AccuracyMatrix(["a", "b"])
        model = TaskModel(["a", "b"])
        with self.assertRaisesRegex(ValueError, r"`tasks\[0\]` must be 'a'"):
            matrix.evaluate_row(model, make_tasks(["b", "a"]), 0)
        self.assertEmpty(model.calls)

    @parameterized.parameters(0, -1, ([],), "mnist", (["a", "a"],))
    def test_bad_tasks(self, tasks):
        with self.assertRaisesRegex(ValueError, "`tasks` must"):
            AccuracyMatrix(tasks)

    @parameterized.parameters(
        (2, 0, 0.5, "`row`"),
        (0, -1, 0.5, "`column`"),
        (0, 0, float("nan"), "`value`"),
    )
    def test_bad_records(self, row, column, value, message):
        with self.assertRaisesRegex(ValueError, message):
            AccuracyMatrix(2).record(row, column, value)

    def test_too_few_tasks(self):
        with self.assertRaisesRegex(ValueError, "the 1 tasks passed"):
            AccuracyMatrix(3).evaluate_row(None, make_tasks(["a"]), 1)


class ShownTest(parameterized.TestCase):
    def test_to_dict(self):
        matrix = AccuracyMatrix(["a", "b"])
        matrix.record(0, 0, 0.5)
        self.assertEqual(
            matrix.to_dict(),
            {"tasks": ["a", "b"], "values": [[0.5, None], [None, None]]},
        )
        self.assertIsNone(AccuracyMatrix(2).to_dict()["tasks"])

    def test_tables(self):
        matrix = AccuracyMatrix(["a", "<b>"])
        matrix.record(0, 0, 0.5)
        matrix.record(1, 1, 0.25)
        self.assertEqual(
            matrix.to_csv(), '"after","a","<b>"\n"a",0.5,""\n"<b>","",0.25\n'
        )
        self.assertIn("0.2500", str(matrix))
        self.assertIn("&lt;b&gt;", matrix._repr_html_())
        self.assertEqual(repr(matrix), "AccuracyMatrix(('a', '<b>'))")
        frame = matrix.to_dataframe()
        self.assertEqual(list(frame.columns), ["after", "a", "<b>"])

    def test_a_large_matrix_is_short(self):
        matrix = AccuracyMatrix(100)
        matrix.record(99, 0, 0.5)
        lines = str(matrix).splitlines()
        self.assertLess(max(map(len, lines)), 81)
        self.assertLess(len(lines), 15)
        self.assertRegex(lines[-1], "^99 +0.5000")
        self.assertLen(matrix.to_csv().splitlines(), 101)
