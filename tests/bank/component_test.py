import numpy as np
from absl.testing import parameterized

from tsn_keras.bank import Component


def masks(shape, rng):
    """Owned slots, and own and shared ones of a task beside them."""
    owned = rng.random(shape) < 0.3
    own = ~owned & (rng.random(shape) < 0.4)
    shared = owned & (rng.random(shape) < 0.5)
    return own, shared, owned


class ComponentTest(parameterized.TestCase):
    @parameterized.product(
        width=(1, 2, 3, 5, 8), shape=((6, 7), (3, 3, 2, 4), (4, 1))
    )
    def test_codes_round_trip(self, width, shape):
        rng = np.random.default_rng(width)
        own, shared, owned = masks(shape, rng)
        size = min(2**width, 50)
        codebook = np.sort(rng.normal(size=size)).astype(np.float32)
        codes = rng.integers(0, size, own.sum())
        component = Component.encode(
            own, shared, owned, None, width, codebook, codes
        )
        np.testing.assert_array_equal(component.own_slots(shape, owned), own)
        np.testing.assert_array_equal(component.shared_slots(owned), shared)
        np.testing.assert_array_equal(component.own_values(), codebook[codes])
        self.assertLen(component.codes, -(-codes.size * width // 8))
        self.assertEqual(component.own_count, own.sum())

    def test_float_values_are_exact(self):
        rng = np.random.default_rng(0)
        own, shared, owned = masks((5, 9), rng)
        values = rng.normal(size=(5, 9)).astype(np.float32)
        component = Component.encode(own, shared, owned, values, 32)
        self.assertEqual(
            component.own_values().tobytes(), values[own].tobytes()
        )
        self.assertEqual(component.codebook.size, 0)
        self.assertLen(component.codes, 4 * own.sum())

    @parameterized.parameters(1, 8, 32)
    def test_no_own_slots(self, width):
        shape = (3, 4)
        owned = np.eye(3, 4, dtype=bool)
        empty = np.zeros(shape, bool)
        component = Component.encode(
            empty,
            owned,
            owned,
            np.zeros(shape, np.float32),
            width,
            np.zeros(0, np.float32),
            np.zeros(0, np.uint8),
        )
        self.assertEqual(component.codes, b"")
        self.assertEqual(component.own_values().shape, (0,))
        self.assertEqual(component.own_values().dtype, np.float32)
        np.testing.assert_array_equal(component.own_slots(shape), empty)
        np.testing.assert_array_equal(component.shared_slots(owned), owned)

    def test_shared_mask_costs_nothing_on_a_free_plane(self):
        own = np.ones((3, 4), bool)
        free = ~own
        component = Component.encode(
            own, free, free, np.ones((3, 4), np.float32), 32
        )
        self.assertEqual(component.shared_mask, b"")

    def test_overlapping_masks(self):
        on, off = np.ones((2, 2), bool), np.zeros((2, 2), bool)
        values = np.ones((2, 2), np.float32)
        with self.assertRaisesRegex(ValueError, "own slots must be free"):
            Component.encode(on, off, on, values, 32)
        with self.assertRaisesRegex(ValueError, "shared slots owned"):
            Component.encode(off, on, off, values, 32)
