import numpy as np
from absl.testing import parameterized

from tsn_keras.bank import Component, PrivateCode


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


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class PrivateCodeTest(parameterized.TestCase):
    @parameterized.product(
        width=(1, 2, 3, 4, 6, 8), shape=((3,), (40,), (5, 4, 3))
    )
    def test_linear_error_bound(self, width, shape):
        value = normal(shape)
        code = PrivateCode.encode(value, width)
        decoded = code.decode()
        self.assertEqual(code.width, width)
        self.assertEqual(decoded.shape, shape)
        self.assertEqual(decoded.dtype, np.float32)
        half_step = np.ptp(value) / (2**width - 1) / 2
        error = np.abs(decoded - value).max()
        self.assertLessEqual(error, half_step * (1 + 1e-5) + 1e-6)
        self.assertEqual(len(code.data), 8 + -(-value.size * width // 8))

    @parameterized.parameters(4, 8)
    def test_linear_keeps_the_extremes(self, width):
        value = normal((50,))
        decoded = PrivateCode.encode(value, width).decode()
        self.assertEqual(decoded.min(), value.min())
        np.testing.assert_allclose(decoded.max(), value.max(), rtol=1e-6)

    def test_half_and_full_round_trip(self):
        value = normal((7, 3))
        half = PrivateCode.encode(value, 16)
        self.assertLen(half.data, 2 * value.size)
        np.testing.assert_array_equal(
            half.decode(), value.astype(np.float16).astype(np.float32)
        )
        full = PrivateCode.encode(value, 32)
        self.assertEqual(full.decode().tobytes(), value.tobytes())

    @parameterized.product(
        width=(1, 4, 8, 16, 32), value=(0.0, -2.5, float("-inf"))
    )
    def test_constant_takes_one_number(self, width, value):
        array = np.full((6, 2), value, np.float32)
        code = PrivateCode.encode(array, width)
        self.assertLen(code.data, 4)
        np.testing.assert_array_equal(code.decode(), array)
        self.assertEqual(code.decode().dtype, np.float32)

    @parameterized.product(width=(1, 8, 16, 32), shape=((0,), (3, 0)))
    def test_empty(self, width, shape):
        code = PrivateCode.encode(np.zeros(shape, np.float32), width)
        self.assertEqual(code.data, b"")
        self.assertEqual(code.decode().shape, shape)

    @parameterized.parameters(
        "int32", "uint32", "bool", "float16", "float64", "bfloat16"
    )
    def test_other_dtypes_are_exact(self, dtype):
        value = (normal((4, 3)) * 2).astype(np.dtype(dtype))
        code = PrivateCode.encode(value, 4)
        self.assertEqual(code.dtype, dtype)
        self.assertEqual(code.decode().dtype, value.dtype)
        self.assertEqual(code.decode().tobytes(), value.tobytes())

    @parameterized.parameters("float32", "int64", "bool")
    def test_zero_dimensional(self, dtype):
        code = PrivateCode.encode(np.ones((), dtype), 4)
        self.assertEqual(code.decode().shape, ())
        self.assertEqual(code.decode(), 1)

    @parameterized.parameters(
        ([1e-45, 0.0, 3e-45],),  # The step would vanish.
        ([-3e38, 3e38, 0.0],),  # The range overflows.
        ([1.0, np.nan, 2.0],),
        ([1.0, -np.inf, np.inf],),
        ([1.0, 3.0],),  # Shorter in full.
    )
    def test_what_no_width_expresses_is_exact(self, value):
        value = np.float32(value)
        for width in (4, 8):
            decoded = PrivateCode.encode(value, width).decode()
            self.assertEqual(decoded.tobytes(), value.tobytes())

    def test_beyond_float16(self):
        value = np.float32([1.0, 1e6, -3.0])
        decoded = PrivateCode.encode(value, 16).decode()
        np.testing.assert_array_equal(decoded, value)

    @parameterized.parameters(4, 16, 32)
    def test_decoding_is_idempotent(self, width):
        once = PrivateCode.encode(normal((33,)), width).decode()
        twice = PrivateCode.encode(once, width).decode()
        np.testing.assert_allclose(twice, once, rtol=1e-5, atol=1e-6)
