import numpy as np
from absl.testing import parameterized

from tsn_keras.layers import SubnetDense
from tsn_keras.pruning import TaskMask, kept_slots


def task_mask(learned_scores=False, seed=0, units=10, **arguments):
    """A task's mask over a kernel of which some slots are owned or full."""
    rng = np.random.default_rng(seed)
    layer = SubnetDense(units, learned_scores=learned_scores)
    layer.build((None, 8))
    (kernel,) = layer.kernels
    kernel.kernel.assign(rng.normal(size=kernel.shape))
    owned = rng.random(kernel.shape) < 0.3
    frozen = np.where(owned, rng.normal(size=kernel.shape), 0)
    available = rng.random(kernel.shape) < 0.7
    return TaskMask(
        kernel, owned, frozen.astype(np.float32), available, **arguments
    )


class KeptSlotsTest(parameterized.TestCase):
    @parameterized.parameters(
        (100, 0.0, 100),
        (100, 0.95, 5),
        (100, 0.9, 10),
        (1000, 0.999, 1),
        (7, 0.5, 4),
        (10, 0.99, 1),
        (78400, 0.95, 3920),
    )
    def test_exact(self, size, sparsity, kept):
        self.assertEqual(kept_slots(size, sparsity), kept)

    def test_monotone(self):
        kept = [kept_slots(133, s) for s in np.linspace(0, 0.999, 200)]
        self.assertEqual(kept, sorted(kept, reverse=True))
        self.assertEqual((kept[0], kept[-1]), (133, 1))


class TaskMaskTest(parameterized.TestCase):
    @parameterized.product(sparsity=(0.0, 0.5, 0.8, 0.95), seed=(0, 1))
    def test_prune(self, sparsity, seed):
        mask = task_mask(seed=seed)
        importance = np.abs(mask.values())
        mask.prune(importance, sparsity)
        available = int(mask.available.sum())
        kept = min(kept_slots(80, sparsity), available)
        self.assertEqual(mask.own.sum(), kept)
        self.assertFalse((mask.own & ~mask.available).any())
        left = mask.available & ~mask.own
        self.assertGreaterEqual(
            importance[mask.own].min(), importance[left].max(initial=0)
        )
        np.testing.assert_array_equal(mask.own | mask.shared, mask.mask)
        self.assertFalse((mask.own & mask.owned).any())
        np.testing.assert_array_equal(mask.shared, mask.owned)

    def test_inherits_what_another_task_uses(self):
        inherited = np.zeros((8, 10), bool)
        inherited[:4] = True
        mask = task_mask(inherited=inherited)
        np.testing.assert_array_equal(mask.shared, inherited & mask.owned)
        mask.prune(mask.values(), 0.9)
        mask.apply()
        effective = np.asarray(mask.kernel.effective())
        np.testing.assert_array_equal(
            effective[mask.shared], mask.frozen[mask.shared]
        )
        unused = mask.owned & ~inherited
        self.assertTrue(unused.any())
        np.testing.assert_array_equal(effective[unused], 0)

    def test_values_are_frozen_where_owned(self):
        mask = task_mask()
        np.testing.assert_array_equal(
            mask.values()[mask.owned], mask.frozen[mask.owned]
        )
        np.testing.assert_array_equal(
            mask.values()[~mask.owned],
            np.asarray(mask.kernel.kernel)[~mask.owned],
        )

    @parameterized.parameters(False, True)
    def test_apply_makes_the_kernel_compute_with_the_mask(self, scores):
        mask = task_mask(scores)
        mask.prune(mask.values(), 0.7)
        mask.apply()
        effective = np.asarray(mask.kernel.effective())
        np.testing.assert_array_equal(effective, mask.effective())
        np.testing.assert_array_equal(effective[~mask.mask], 0)
        np.testing.assert_array_equal(mask.kernel.own_mask, mask.own)
