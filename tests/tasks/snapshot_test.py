"""Tests of values that are taken down and brought back."""

import tempfile
import unittest.mock

import keras
import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import begin, fit, learn, make_model
from tsn_keras.tasks import snapshot
from tsn_keras.tasks.snapshot import Snapshot
from tsn_keras.tasks.training import training_variables


def arrays():
    random = np.random.default_rng(0)
    yield random.normal(size=(300, 7)).astype(np.float32)
    yield np.float32(3)
    yield random.random((40, 50)) < 0.5
    yield np.zeros((0, 4), np.float16)
    yield random.integers(0, 9, (5, 2, 2)).T


def variables():
    return [
        keras.Variable(array, dtype=array.dtype.name) for array in arrays()
    ]


class SnapshotTest(parameterized.TestCase):
    def keep_in_memory(self, count):
        self.enterContext(
            unittest.mock.patch.object(snapshot, "MOST_BYTES_IN_MEMORY", count)
        )

    def check_that_they_come_back_twice(self):
        given = variables()
        kept = Snapshot(given)
        for _ in range(2):
            for variable in given:
                variable.assign(np.zeros(variable.shape, variable.dtype))
            kept.restore()
            for variable, expected in zip(given, arrays(), strict=True):
                np.testing.assert_array_equal(variable, expected)

    @parameterized.parameters(1, 5000, 1 << 24)
    def test_they_come_back_twice(self, in_memory):
        self.keep_in_memory(in_memory)
        self.check_that_they_come_back_twice()

    def test_written_in_small_parts(self):
        self.enterContext(
            unittest.mock.patch.object(snapshot, "MOST_BYTES_A_WRITE", 1000)
        )
        self.check_that_they_come_back_twice()

    def test_without_a_place_for_files(self):
        self.keep_in_memory(1)
        self.enterContext(
            unittest.mock.patch.object(tempfile, "tempdir", "/no/such/folder")
        )
        self.check_that_they_come_back_twice()

    @parameterized.parameters("magnitude", "scores")
    def test_a_begun_task_comes_back(self, pruning):
        model = make_model(pruning=pruning, sharing="always")
        learn(model, 0)
        begin(model, 1)
        kinds = training_variables(model)
        before = {
            kind: [np.array(variable) for variable in found]
            for kind, found in kinds.items()
        }
        for in_memory in (1, 1 << 24):
            self.keep_in_memory(in_memory)
            kept = Snapshot(v for found in kinds.values() for v in found)
            fit(model, 1)
            kept.restore()
            for kind, found in training_variables(model).items():
                for one, other in zip(found, before[kind], strict=True):
                    np.testing.assert_array_equal(one, other, err_msg=kind)
