"""Tests of the metrics."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.evaluation import (
    AccuracyMatrix,
    average_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
)

N = np.nan
HAND = [[0.9, N, N], [0.6, 0.8, N], [0.7, 0.5, 0.4]]
ALL = (average_accuracy, backward_transfer, forgetting)


class MetricsTest(parameterized.TestCase):
    def test_by_hand(self):
        self.assertAlmostEqual(average_accuracy(HAND), 1.6 / 3)
        self.assertAlmostEqual(backward_transfer(HAND), (-0.2 - 0.3) / 2)
        self.assertAlmostEqual(forgetting(HAND), (0.2 + 0.3) / 2)
        self.assertAlmostEqual(
            forward_transfer(HAND, [N, 0.7, 0.5]), (0.1 - 0.1) / 2
        )

    def test_forgetting_counts_from_the_best(self):
        values = [[0.5, N, N], [0.9, 0.8, N], [0.6, 0.8, 0.4]]
        self.assertAlmostEqual(forgetting(values), 0.3 / 2)
        self.assertAlmostEqual(backward_transfer(values), 0.1 / 2)

    def test_an_accuracy_matrix(self):
        matrix = AccuracyMatrix(3)
        for i, j in zip(*np.tril_indices(3)):
            matrix.record(i, j, HAND[i][j])
        for metric in ALL:
            self.assertEqual(metric(matrix), metric(HAND))

    def test_without_change_both_are_exactly_0(self):
        quality = np.random.default_rng(0).random(6)
        values = np.where(np.tri(6), quality, N)
        self.assertEqual(backward_transfer(values), 0.0)
        self.assertEqual(forgetting(values), 0.0)
        self.assertEqual(forward_transfer(values, quality), 0.0)

    def test_any_change_at_the_end_shows(self):
        values = np.where(np.tri(4), 0.5, N)
        for j in range(3):
            changed = values.copy()
            changed[3, j] -= 0.1
            self.assertAlmostEqual(backward_transfer(changed), -0.1 / 3)
            self.assertAlmostEqual(forgetting(changed), 0.1 / 3)

    def test_one_task(self):
        self.assertEqual(average_accuracy([[0.7]]), 0.7)
        self.assertEqual(backward_transfer([[0.7]]), 0.0)
        self.assertEqual(forgetting([[0.7]]), 0.0)
        self.assertEqual(forward_transfer([[0.7]], [0.9]), 0.0)

    def test_forward_transfer_needs_a_baseline(self):
        self.assertIsNone(forward_transfer(HAND))
        with self.assertRaisesRegex(ValueError, "`single`.*3 tasks"):
            forward_transfer(HAND, [0.5])

    @parameterized.parameters(*ALL)
    def test_missing_entries(self, metric):
        with self.assertRaisesRegex(ValueError, "missing entries"):
            metric([[0.5, N], [N, 0.5]])

    @parameterized.parameters(*ALL)
    def test_not_square(self, metric):
        for bad in ([0.5], [[0.5, 0.5]], np.zeros((0, 0))):
            with self.assertRaisesRegex(ValueError, "one row and one column"):
                metric(bad)
