"""Tests of what a task may lose, and of when that can be told from chance."""

import math

from absl.testing import absltest, parameterized

from tsn_keras.tasks.tolerance import Tolerance


def make(quality, num_examples, part=0.01, lower_is_better=False):
    return Tolerance(part, quality, lower_is_better, 1.0, num_examples)


class ToleranceTest(parameterized.TestCase):
    @parameterized.parameters(
        (60, True, False), (600, False, False), (6000, False, True)
    )
    def test_chance(self, num_examples, is_chance, is_clear):
        """One point of 90 %, where a tenth of the examples are mistakes."""
        tolerance = make(0.9, num_examples)
        self.assertEqual(tolerance.is_chance, is_chance)
        self.assertEqual(tolerance.is_clear, is_clear)

    def test_errors_come_in_any_steps(self):
        tolerance = make(-3.0, 10, lower_is_better=True)
        self.assertFalse(tolerance.is_chance)
        self.assertTrue(tolerance.is_clear)

    @parameterized.parameters(1e-3, 0.01, 0.03, 0.2)
    def test_more_examples_never_make_it_less_clear(self, part):
        seen = []
        for power in range(14):
            tolerance = make(0.8, 2**power, part)
            seen.append(tolerance.is_clear - tolerance.is_chance)
        self.assertEqual(seen, sorted(seen))

    def test_allowed(self):
        self.assertAlmostEqual(make(0.5, 10).allowed(), 0.01)
        self.assertAlmostEqual(make(0.99, 10).allowed(), 0.005)
        self.assertAlmostEqual(make(0.5, 10).allowed(0.5), 0.01)
        self.assertAlmostEqual(make(0.5, 10).allowed(0.002), 0.002)
        error = make(-math.e, 10, lower_is_better=True)
        self.assertAlmostEqual(error.allowed(), 0.01 * math.e)

    @parameterized.parameters(50, 250, 300, 334, 1000, 10_000)
    def test_no_share_of_less_than_an_example(self, num_examples):
        """One point of an accuracy, 0.3 of it for what follows the rounds."""
        tolerance = make(0.9, num_examples)
        of_rounds = 0.01 if num_examples < 334 else 0.007
        self.assertAlmostEqual(tolerance.allowed_of_rounds(), of_rounds)
        self.assertAlmostEqual(tolerance.promised, 0.89)
        self.assertLessEqual(tolerance.allowed_of_rounds(1e-3), 1e-3)
        # With few mistakes less is chance.
        sure = make(0.98, num_examples).allowed_of_rounds()
        self.assertAlmostEqual(sure, 0.01 if num_examples < 100 else 0.007)
        # Errors come in any steps.
        error = make(-2.0, num_examples, lower_is_better=True)
        self.assertAlmostEqual(error.allowed_of_rounds(), 0.014)

    def test_what_was_learned_by_heart_may_go_as_far_as_can_be_told(self):
        """One point of 90 % is a third of chance with 55 examples."""
        may = [make(0.9, n).allowed_of_training(1.0) for n in (10, 55)]
        self.assertEqual(may, [0.01, 0.01])
        may += [make(0.9, n).allowed_of_training(1.0) for n in (100, 400)]
        self.assertEqual(may, sorted(may))
        self.assertBetween(may[3], 0.05, 0.11)
        self.assertEqual(make(0.9, 600).allowed_of_training(1.0), math.inf)
        # Where training examples are no better, there is nothing by heart.
        self.assertEqual(make(0.9, 400).allowed_of_training(0.8), 0.01)


if __name__ == "__main__":
    absltest.main()
