import numpy as np
from absl.testing import parameterized

from tsn_keras.layers import SubnetDense
from tsn_keras.pruning import TaskMask, kept_slots, largest


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


def reference(values, count, available=None):
    """By a full stable sort."""
    magnitudes = np.abs(values.astype(np.float32)).reshape(-1)
    order = np.argsort(-magnitudes, kind="stable")
    if available is not None:
        order = order[available.reshape(-1)[order]]
    mask = np.zeros(values.size, bool)
    mask[order[:count]] = True
    return mask.reshape(values.shape)


def heavy_ties(rng, shape):
    return rng.integers(-3, 4, shape) / 4


def wide_range(rng, shape):
    return rng.normal(size=shape) * 10.0 ** rng.integers(-44, 38, shape)


def normal(rng, shape):
    return rng.normal(size=shape)


def neighbouring_floats(rng, shape):
    """Magnitudes that differ in the lower 16 bits only."""
    bits = 0x3F800000 + rng.integers(0, 2**16, shape)
    return bits.astype(np.uint32).view(np.float32)


def constant(rng, shape):
    return np.full(shape, rng.normal())


DRAWS = (normal, heavy_ties, wide_range, neighbouring_floats)


class LargestTest(parameterized.TestCase):
    @parameterized.product(draw=DRAWS, dtype=("float32", "float64"))
    def test_matches_sort(self, draw, dtype):
        rng = np.random.default_rng(0)
        for _ in range(60):
            shape = tuple(rng.integers(1, 20, rng.integers(1, 4)))
            values = draw(rng, shape).astype(dtype)
            for count in {0, 1, values.size, rng.integers(values.size + 1)}:
                mask = largest(values, count)
                self.assertEqual(mask.dtype, bool)
                np.testing.assert_array_equal(mask, reference(values, count))

    @parameterized.parameters(*DRAWS)
    def test_matches_sort_of_available(self, draw):
        rng = np.random.default_rng(1)
        for _ in range(60):
            shape = tuple(rng.integers(1, 20, rng.integers(1, 4)))
            values = draw(rng, shape)
            available = rng.random(shape) < rng.random()
            free = np.count_nonzero(available)
            for count in {0, free, int(rng.integers(free + 1))}:
                np.testing.assert_array_equal(
                    largest(values, count, available),
                    reference(values, count, available),
                )

    def test_other_dtypes_and_layouts(self):
        rng = np.random.default_rng(2)
        values = rng.normal(size=(40, 30))
        half = values.astype(np.float16)
        np.testing.assert_array_equal(largest(half, 99), reference(half, 99))
        integers = rng.integers(-99, 99, (40, 30))
        np.testing.assert_array_equal(
            largest(integers, 99), reference(integers, 99)
        )
        np.testing.assert_array_equal(
            largest(np.asfortranarray(values), 99), reference(values, 99)
        )
        np.testing.assert_array_equal(
            largest(values.T, 99), reference(values.T, 99)
        )

    @parameterized.product(
        draw=(*DRAWS, constant), size=(8191, 8193, 70_000), available=(0.3, 1.0)
    )
    def test_matches_sort_of_many(self, draw, size, available):
        rng = np.random.default_rng(size)
        values = draw(rng, (size,))
        free = rng.random(size) < available
        most = np.count_nonzero(free)
        for count in {1, most - 1, *rng.integers(most, size=3).tolist()}:
            np.testing.assert_array_equal(
                largest(values, count, free), reference(values, count, free)
            )

    def test_exact_count_at_scale(self):
        values = np.random.default_rng(3).normal(size=300_000)
        values = values.astype(np.float32)
        mask = largest(values, 15_000)
        self.assertEqual(np.count_nonzero(mask), 15_000)
        self.assertGreaterEqual(
            np.abs(values[mask]).min(), np.abs(values[~mask]).max()
        )

    def test_ties_go_to_the_lowest_index(self):
        np.testing.assert_array_equal(
            np.flatnonzero(largest(np.zeros((4, 4)), 3)), [0, 1, 2]
        )
        signed = np.array([-0.0, 1.0, -1.0, 1.0, 0.0])
        np.testing.assert_array_equal(
            np.flatnonzero(largest(signed, 4)), [0, 1, 2, 3]
        )

    def test_infinite_and_overflowing_values(self):
        values = np.array([1.0, -np.inf, 3e38, 1e300])
        np.testing.assert_array_equal(
            np.flatnonzero(largest(values, 2)), [1, 3]
        )

    def test_values_are_left_alone(self):
        values = np.array([-1.0, 2.0, -3.0], np.float32)
        largest(values, 2)
        np.testing.assert_array_equal(values, [-1.0, 2.0, -3.0])

    def test_empty(self):
        self.assertEqual(largest(np.zeros((0, 3)), 0).shape, (0, 3))

    def test_nan(self):
        values = np.array([1.0, 2.0, -np.nan, 3.0])
        with self.assertRaisesRegex(ValueError, "NaN at flat index 2"):
            largest(values, 1)

    def test_too_few_available(self):
        available = np.array([True, False, True, False])
        with self.assertRaisesRegex(ValueError, "from 0 to 2.*Received: 3"):
            largest(np.ones(4), 3, available)
        with self.assertRaisesRegex(ValueError, "from 0 to 4.*Received: 5"):
            largest(np.ones(4), 5)
        with self.assertRaisesRegex(ValueError, "Received: -1"):
            largest(np.ones(4), -1)

    def test_available_of_other_shape_or_dtype(self):
        with self.assertRaisesRegex(ValueError, "`available`"):
            largest(np.ones(4), 1, np.ones((2, 2), bool))
        with self.assertRaisesRegex(ValueError, "`available`"):
            largest(np.ones(4), 1, np.ones(4))
