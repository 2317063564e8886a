"""Tests that no slot ever holds more than 32 bits."""

import warnings

import keras
import numpy as np
from absl.testing import absltest

from tests.digits_tasks import (
    begin,
    consolidate,
    everything,
    fit,
    learn,
    make_model,
    mlp,
    most_bits,
)
from tsn_keras.bank import BudgetError
from tsn_keras.pruning import MagnitudePruning
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.sharing import Always


def fixed_width(width):
    return AdaptiveCodebook(min_width=width, max_width=width, fine_tune_steps=0)


class SlotBudgetTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # What is tested here is not learned well.
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter("ignore", UserWarning)

    def test_many_tasks_in_one_small_network(self):
        model = make_model(
            pruning=MagnitudePruning(0.875), quantization=fixed_width(3)
        )
        for number in range(16):
            learn(model, number, epochs=1, batch_size=100)
            self.assertLessEqual(most_bits(model), 32)
        self.assertLen(model.tasks, 16)
        self.assertEqual(model.bank.num_planes, 16)
        report = model.report("task 15")
        (path,) = report.bits
        self.assertEqual(report.bits[path], 3)
        self.assertEqual(report.own[path], round(0.125 * 64 * 32))
        mean = model.bank.used_bits(0).mean()
        self.assertAlmostEqual(mean, 16 * 3 * 0.125, places=1)

    def test_bytes_for_a_plane_that_is_full(self):
        """With a budget, tasks share what is there and own nothing."""
        pruning = MagnitudePruning(budget=700)
        model = make_model(mlp(8), pruning=pruning, sharing=Always())
        for number in range(2):
            learn(model, number, epochs=1)
        before = everything(model)
        learn(model, 2, epochs=1)
        self.assertEqual(everything(model)[1][:2], before[1])
        self.assertEqual(sum(model.report("task 2").own.values()), 0)

    def test_no_bits_left(self):
        model = make_model(
            mlp(16),
            pruning=MagnitudePruning(0.25),
            quantization=fixed_width(8),
        )
        # 5 x 0.75 x 8 bits of 32 are 94 %: slots fill up, unevenly.
        with self.assertRaises(BudgetError) as raised:
            for number in range(6):
                learn(model, number, epochs=1)
                self.assertLessEqual(most_bits(model), 32)
        stored = len(model.bank.tasks)
        self.assertGreaterEqual(stored, 4)
        error = raised.exception
        self.assertIsInstance(error, ValueError)
        used = model.bank.used_bits(0)
        (path,) = model.bank.paths
        self.assertRegex(str(error), f"'{path}' has no bits left")
        self.assertIn(f"average {used.mean():.1f} of 32 bits", str(error))
        for remedy in ("Share weights", "prune more", "use fewer bits"):
            self.assertIn(remedy, str(error))
        before = everything(model)
        with self.assertRaises(BudgetError):
            fit(model, stored)
        self.assertEqual(everything(model), before)
        self.assertEqual(model.tasks[-1], f"task {stored}")
        # The remedy works.
        model.sharing = Always()
        fit(model, stored, epochs=1)
        consolidate(model, stored)
        self.assertEqual(everything(model)[1][:stored], before[1])
        self.assertLessEqual(most_bits(model), 32)

    def test_narrower_codes_where_few_bits_are_left(self):
        quantization = AdaptiveCodebook(max_width=8, fine_tune_steps=0)
        model = make_model(
            mlp(16), pruning=MagnitudePruning(0.0), quantization=fixed_width(7)
        )
        for number in range(4):
            learn(model, number, epochs=1)
        self.assertEqual(model.bank.used_bits(0).min(), 28)
        model.quantization = quantization
        begin(model, 4, epochs=1)
        self.assertEqual(model.running_task.widths, [4])
        report = consolidate(model, 4)
        self.assertLessEqual(max(report.bits.values()), 4)
        self.assertLessEqual(most_bits(model), 32)

    def test_float32_values_fill_a_slot(self):
        model = make_model(mlp(16), pruning=None, quantization=None)
        learn(model, 0, epochs=1)
        self.assertEqual(model.bank.used_bits(0).min(), 32)
        before = everything(model)
        with self.assertRaisesRegex(BudgetError, "on average|On average 32.0"):
            begin(model, 1)
        self.assertEqual(everything(model), before)
        model.sharing = Always()
        fit(model, 1)
        report = consolidate(model, 1)
        self.assertEqual(sum(report.own.values()), 0)
        self.assertEqual(sum(report.shared.values()), 64 * 16)
        self.assertEqual(everything(model)[1][:1], before[1])

    def test_half_of_float32(self):
        model = make_model(
            mlp(16), pruning=MagnitudePruning(0.5), quantization=None
        )
        learn(model, 0, epochs=1)
        learn(model, 1, epochs=1)
        np.testing.assert_array_equal(model.bank.used_bits(0), 32)
        with self.assertRaises(BudgetError):
            begin(model, 2)
        self.assertIsInstance(model.heads.head, keras.layers.Dense)


if __name__ == "__main__":
    absltest.main()
