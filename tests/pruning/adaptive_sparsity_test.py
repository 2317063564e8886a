"""Tests of how the slots of all kernels are ranked together."""

import keras
import numpy as np
from absl.testing import parameterized

from tsn_keras.pruning import AdaptiveSparsity, rank_together

RNG = np.random.default_rng(0)


class RankTogetherTest(parameterized.TestCase):
    @parameterized.parameters(0.0, 0.3, 0.9, 0.985)
    def test_the_common_sparsity_is_kept(self, sparsity):
        values = [np.abs(RNG.normal(size=s)) for s in ((30, 40), (50,), (9, 9))]
        kept = rank_together(
            values, [np.ones(v.shape, bool) for v in values], sparsity
        )
        size = sum(v.size for v in values)
        count = sum(mask.sum() for mask in kept)
        self.assertEqual(count, round((1 - sparsity) * size))
        for value, mask in zip(values, kept):
            self.assertEqual(mask.shape, value.shape)
            # Within a kernel the importance decides.
            if mask.any() and not mask.all():
                self.assertGreater(value[mask].min(), value[~mask].max())

    def test_the_scale_of_a_kernel_does_not_count(self):
        values = [np.abs(RNG.normal(size=200)) for _ in range(2)]
        free = [np.ones(200, bool)] * 2
        kept = rank_together(values, free, 0.9)
        scaled = rank_together([values[0] * 1e-4, values[1] * 1e4], free, 0.9)
        np.testing.assert_array_equal(kept, scaled)

    def test_small_kernels_keep_more_of_theirs(self):
        values = [np.abs(RNG.normal(size=size)) for size in (20, 20_000)]
        free = [np.ones(value.size, bool) for value in values]
        small, large = rank_together(values, free, 0.95)
        self.assertGreater(small.mean(), 4 * large.mean())

    def test_only_available_slots(self):
        values = [np.ones(10), np.full(10, 5.0), np.zeros(4)]
        free = [np.arange(10) < 3, np.zeros(10, bool), np.ones(4, bool)]
        first, second, third = rank_together(values, free, 0.5)
        np.testing.assert_array_equal(first, free[0])
        self.assertFalse(second.any())
        self.assertEqual(third.sum(), 4)
        kept = rank_together(
            values, [np.zeros(v.shape, bool) for v in values], 0
        )
        self.assertFalse(any(mask.any() for mask in kept))

    def test_each_kernel_keeps_a_slot(self):
        values = [np.zeros(5), RNG.uniform(1, 2, size=1000)]
        free = [np.ones(value.shape, bool) for value in values]
        kept = rank_together(values, free, 0.99)
        self.assertEqual(kept[0].sum(), 1)

    def test_a_tensor_of_equal_importances(self):
        values = [np.ones((4, 5)), np.ones((4, 5))]
        kept = rank_together(values, [np.ones((4, 5), bool)] * 2, 0.5)
        self.assertEqual(sum(mask.sum() for mask in kept), 20)


class AdaptiveSparsityTest(parameterized.TestCase):
    def test_sparsities_rise_to_the_highest(self):
        found = AdaptiveSparsity().sparsities()
        self.assertEqual(found, sorted(found))
        self.assertGreater(found[-1], 0.98)
        fixed = AdaptiveSparsity(sparsity=0.8).sparsities()
        self.assertAlmostEqual(fixed[-1], 0.8)

    @parameterized.parameters(
        ({"sparsity": 1.0}, ValueError, r"`sparsity`.*sparsity=1.0"),
        ({"sparsity": "high"}, TypeError, "`sparsity`.*'high'"),
        ({"tolerance": -0.1}, ValueError, "`tolerance`.*-0.1"),
        ({"tolerance": float("nan")}, ValueError, "`tolerance`.*nan"),
        ({"effort": 0}, ValueError, "`effort`.*effort=0"),
        ({"effort": "much"}, TypeError, "`effort`.*'much'"),
    )
    def test_bad_arguments(self, arguments, error, message):
        with self.assertRaisesRegex(error, message):
            AdaptiveSparsity(**arguments)

    def test_config(self):
        strategy = AdaptiveSparsity(0.5, tolerance=0.02, effort=2)
        saved = keras.saving.serialize_keras_object(strategy)
        loaded = keras.saving.deserialize_keras_object(saved)
        self.assertEqual(loaded.get_config(), strategy.get_config())
