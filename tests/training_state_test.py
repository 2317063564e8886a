import tempfile
import unittest.mock

import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import begin, fit, learn, make_model
from tsn_keras import training_state
from tsn_keras.training_state import (
    KeptArrays,
    TrainingState,
    training_variables,
)


def arrays():
    random = np.random.default_rng(0)
    yield random.normal(size=(300, 7)).astype(np.float32)
    yield np.float32(3)
    yield random.random((40, 50)) < 0.5
    yield np.zeros((0, 4), np.float16)
    yield random.integers(0, 9, (5, 2, 2)).T


def values(model):
    return {
        kind: [np.array(variable) for variable in variables]
        for kind, variables in training_variables(model).items()
    }


class KeptArraysTest(parameterized.TestCase):
    @parameterized.parameters(0, 5000, 1 << 24)
    def test_they_come_back_twice(self, in_memory):
        self.enterContext(
            unittest.mock.patch.object(
                training_state, "MOST_BYTES_IN_MEMORY", in_memory
            )
        )
        kept = KeptArrays(arrays())
        for _ in range(2):
            for found, expected in zip(kept, arrays(), strict=True):
                np.testing.assert_array_equal(found, expected)
                self.assertEqual(found.dtype, expected.dtype)

    def test_without_a_place_for_files(self):
        self.enterContext(
            unittest.mock.patch.object(
                training_state, "MOST_BYTES_IN_MEMORY", 0
            )
        )
        self.enterContext(
            unittest.mock.patch.object(tempfile, "tempdir", "/no/such/folder")
        )
        for found, expected in zip(KeptArrays(arrays()), arrays(), strict=True):
            np.testing.assert_array_equal(found, expected)


class TrainingStateTest(parameterized.TestCase):
    @parameterized.product(
        pruning=("magnitude", "scores"), in_memory=(0, 1 << 24)
    )
    def test_a_begun_task_comes_back(self, pruning, in_memory):
        self.enterContext(
            unittest.mock.patch.object(
                training_state, "MOST_BYTES_IN_MEMORY", in_memory
            )
        )
        model = make_model(pruning=pruning, sharing="always")
        learn(model, 0)
        begin(model, 1)
        before, state = values(model), TrainingState(model)
        fit(model, 1)
        state.restore(model)
        for kind, found in values(model).items():
            for one, other in zip(found, before[kind], strict=True):
                np.testing.assert_array_equal(one, other, err_msg=kind)
