"""Tests of tasks that start from the values of their nearest task."""

import functools

import keras
import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    digits,
    everything,
    learn,
    make_model,
    reloaded,
)
from tsn_keras.sharing import Never, WarmStart


@functools.cache
def first_task():
    """Returns a model of one task, for others to start from."""
    model = make_model(sharing=WarmStart())
    learn(model, 0, epochs=8)
    return model


class WarmStartTest(parameterized.TestCase):
    def learned(self, sharing):
        model = reloaded(first_task())
        model.sharing = sharing
        model.add_task("again", head=keras.layers.Dense(10))
        return model

    def test_starts_from_the_nearest_task_and_owns_what_it_keeps(self):
        model = self.learned(WarmStart(float("inf"), shrink=1.0))
        before = everything(model)
        x, y = digits(0, TRAIN)
        model.fit(x, y, epochs=0, verbose=0)
        used = model.bank.used_slots("task 0")
        stored = model.bank.effective("task 0")
        for kernel, slots, values in zip(
            model.switch.kernels, used, stored
        ):
            start = keras.ops.convert_to_numpy(kernel.kernel)
            np.testing.assert_array_equal(start, values)
            self.assertFalse(start[~slots].any())
        for value, one in zip(
            model.switch.private_values(), model.bank.private("task 0")
        ):
            np.testing.assert_array_equal(value, one)
        model.fit(x, y, epochs=2, verbose=0)
        report = model.consolidate(digits(0, VALIDATION), verbose=0)
        self.assertEqual((report.plane, report.nearest), (1, "task 0"))
        self.assertEqual(sum(report.shared.values()), 0)
        self.assertIn("own plane: a similar task's values", report.sharing)
        self.assertEqual(everything(model)[1][0], before[1][0])

    @parameterized.parameters(0.3, 0.75)
    def test_shrinks_and_mixes(self, shrink):
        starts = []
        for sharing in (
            Never(),
            WarmStart(float("inf"), shrink=1.0),
            WarmStart(float("inf"), shrink=shrink),
        ):
            model = self.learned(sharing)
            model.fit(*digits(0, TRAIN), epochs=0, verbose=0)
            kernels = [kernel.kernel for kernel in model.switch.kernels]
            values = map(keras.ops.convert_to_numpy, kernels)
            private = model.switch.private_values()
            starts.append([*values, *private])
        for fresh, nearest, mixed in zip(*starts):
            expected = shrink * nearest + (1 - shrink) * fresh
            np.testing.assert_allclose(mixed, expected, atol=1e-6)

    @parameterized.parameters(0.0, float("inf"))
    def test_a_warm_start_is_ahead(self, threshold):
        model = self.learned(WarmStart(threshold, shrink=1.0))
        x, y = digits(0, TRAIN)
        history = model.fit(x, y, epochs=1, verbose=0).history
        warm = history["accuracy"][0] > 0.8
        self.assertEqual(warm, threshold > 0)
