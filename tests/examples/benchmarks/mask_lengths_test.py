"""Tests of the lengths that coded masks are measured against."""

import numpy as np
from absl.testing import absltest

from examples.benchmarks.mask_lengths import ideal_bits, zero_order_entropy


class ZeroOrderEntropyTest(absltest.TestCase):
    def test_known_values(self):
        mask = np.zeros((16, 16), bool)
        self.assertEqual(zero_order_entropy(mask), 0.0)
        mask[:8] = True
        self.assertEqual(zero_order_entropy(mask), 256.0)
        mask[4:8] = False
        quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)
        self.assertAlmostEqual(zero_order_entropy(mask), 256 * quarter)


class IdealBitsTest(absltest.TestCase):
    def test_masks_without_a_string(self):
        self.assertEqual(ideal_bits(np.zeros((0, 3), bool)), 0.0)
        self.assertEqual(ideal_bits(np.zeros((5, 3), bool)), 8.0)
        self.assertEqual(ideal_bits(np.ones((5, 3), bool)), 8.0)

    def test_one_string_of_one_density(self):
        mask = np.random.default_rng(0).random((1, 4000)) < 0.1
        expected = 8 + np.log2(4001) + zero_order_entropy(mask)
        self.assertAlmostEqual(ideal_bits(mask), expected)


if __name__ == "__main__":
    absltest.main()
