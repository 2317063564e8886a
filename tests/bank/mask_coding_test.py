import itertools
import time

import numpy as np
from absl.testing import parameterized

from examples.benchmarks.mask_lengths import ideal_bits, zero_order_entropy
from tsn_keras.bank.mask_coding import (
    decode_mask,
    encode_mask,
    make_plans,
    needs_reference,
    needs_within,
)

SHAPES = (
    (784, 100),
    (100, 100),
    (3, 3, 1, 8),
    (3, 3, 16, 32),
    (3, 3, 40, 1),
    (64, 4, 16),
    (500,),
    (1, 7),
    (7, 1),
)
KEPT = (0.01, 0.05, 0.3, 0.5, 0.9)


def pruned_mask(rng, shape, kept, row_spread=0.6, dead_rows=0.2):
    """The largest magnitudes of a kernel with rows of uneven scale."""
    rows = (*shape[:-1], 1)
    scale = rng.lognormal(0.0, row_spread, rows)
    scale = scale * (rng.random(rows) >= dead_rows)
    scale = scale * rng.lognormal(0.0, 0.3, shape[-1:])
    magnitudes = np.abs(rng.normal(size=shape) * scale).reshape(-1)
    mask = np.zeros(magnitudes.size, bool)
    mask[np.argsort(magnitudes)[magnitudes.size - int(kept * mask.size) :]] = 1
    return mask.reshape(shape)


class EncodeMaskTest(parameterized.TestCase):
    @parameterized.parameters(*itertools.product(SHAPES, KEPT))
    def test_round_trip_and_size(self, shape, kept):
        rng = np.random.default_rng(int(1000 * kept) + len(shape))
        for _ in range(4):
            mask = pruned_mask(rng, shape, kept)
            data = encode_mask(mask)
            decoded = decode_mask(data, shape)
            self.assertEqual(decoded.dtype, bool)
            np.testing.assert_array_equal(decoded, mask)
            ideal = ideal_bits(mask) / 8
            self.assertLessEqual(len(data), 1.03 * ideal + 8)
            if len(data) < 500:
                # Short streams end with the last byte that is needed.
                self.assertLessEqual(len(data), ideal + 2)
            self.assertLessEqual(len(data), (mask.size + 7) // 8 + 1)
            self.assertLessEqual(ideal, (mask.size + 7) // 8 + 1)

    def test_round_trip_of_random_shapes(self):
        rng = np.random.default_rng(0)
        for _ in range(150):
            shape = tuple(rng.integers(1, 12, rng.integers(1, 5)))
            mask = rng.random(shape) < rng.choice([0.02, 0.2, 0.5, 0.97])
            np.testing.assert_array_equal(
                decode_mask(encode_mask(mask), shape), mask
            )

    @parameterized.parameters(300, 2000)
    def test_round_trip_with_many_distinct_counts(self, columns):
        rng = np.random.default_rng(columns)
        mask = rng.random((500, columns)) < rng.random((500, 1)) ** 3
        data = encode_mask(mask)
        np.testing.assert_array_equal(decode_mask(data, mask.shape), mask)
        self.assertLess(len(data), 0.8 * zero_order_entropy(mask) / 8)

    @parameterized.parameters(*SHAPES)
    def test_constant_masks_take_one_byte(self, *shape):
        for value in (False, True):
            mask = np.full(shape, value)
            data = encode_mask(mask)
            self.assertLen(data, 1)
            np.testing.assert_array_equal(decode_mask(data, shape), mask)

    @parameterized.parameters((0,), (0, 5), (3, 0, 2))
    def test_empty_masks(self, *shape):
        data = encode_mask(np.zeros(shape, bool))
        self.assertEmpty(data)
        self.assertEqual(decode_mask(data, shape).shape, shape)
        self.assertEqual(ideal_bits(np.zeros(shape, bool)), 0.0)

    @parameterized.parameters((0.05, 0.80), (0.1, 0.85), (0.5, 0.96))
    def test_uneven_rows_beat_zero_order(self, kept, fraction):
        mask = pruned_mask(np.random.default_rng(1), (784, 100), kept)
        size = len(encode_mask(mask))
        self.assertLess(8 * size, fraction * zero_order_entropy(mask))

    def test_uneven_columns_beat_zero_order(self):
        mask = pruned_mask(
            np.random.default_rng(2), (256, 128), 0.1, 0.0, dead_rows=0.0
        )
        mask[:, ::2] = False
        size = len(encode_mask(mask))
        self.assertLess(8 * size, 0.8 * zero_order_entropy(mask))

    def test_even_masks_stay_near_zero_order(self):
        rng = np.random.default_rng(3)
        for kept in (0.01, 0.1, 0.4):
            mask = rng.random((300, 200)) < kept
            size = len(encode_mask(mask))
            self.assertLess(size, 1.005 * zero_order_entropy(mask) / 8 + 8)

    def test_encoding_is_deterministic(self):
        mask = pruned_mask(np.random.default_rng(4), (100, 50), 0.1)
        self.assertEqual(encode_mask(mask), encode_mask(mask.copy()))
        fortran = np.asfortranarray(mask)
        self.assertEqual(encode_mask(mask), encode_mask(fortran))

    def test_format_is_stable(self):
        # A bank saved by one version has to be read by the next ones.
        mask = np.zeros((64, 16), bool)
        mask[::4, :8] = True
        mask[0] = False
        data = bytes.fromhex("22c3c3e127890b9abb24094b2c48")
        np.testing.assert_array_equal(decode_mask(data, (64, 16)), mask)
        mask = np.random.default_rng(0).random((40, 30)) < 0.2
        data = (
            "1133060d2ecd983e8e457e994f7ba62c0d28b241a1d394f16ec21f0b0880"
            "000ebafea17c3c6c4db6a5668408ead55fd8b7f6ffc4f32e5bbc9f294870"
            "44b3b06cea0f41cac0be04212239b72b7d5010c2868a28d6e293f3e2265c"
            "dcb91fb95037eb0eae178239c222bd94480534cc5b"
        )
        np.testing.assert_array_equal(
            decode_mask(bytes.fromhex(data), (40, 30)), mask
        )

    def test_speed(self):
        mask = pruned_mask(np.random.default_rng(5), (1000, 1000), 0.05)
        encode_mask(mask[:10])
        start = time.perf_counter()
        data = encode_mask(mask)
        middle = time.perf_counter()
        decode_mask(data, mask.shape)
        self.assertLess(middle - start, 0.15)
        self.assertLess(time.perf_counter() - middle, 0.15)

    def test_not_a_mask(self):
        for function in (encode_mask, make_plans):
            with self.assertRaisesRegex(ValueError, "float64"):
                function(np.zeros((2, 2)))
            with self.assertRaisesRegex(ValueError, "axis"):
                function(np.array(True))


def moved(rng, mask, fraction):
    """A mask with a fraction of the slots of another moved elsewhere."""
    flat = mask.reshape(-1).copy()
    ones, zeros = np.flatnonzero(flat), np.flatnonzero(~flat)
    count = min(round(fraction * ones.size), zeros.size)
    flat[rng.choice(ones, count, replace=False)] = False
    flat[rng.choice(zeros, count, replace=False)] = True
    return flat.reshape(mask.shape)


class ContextTest(parameterized.TestCase):
    @parameterized.parameters(*itertools.product(SHAPES, (0.05, 0.5), range(2)))
    def test_round_trip_and_never_longer(self, shape, kept, seed):
        rng = np.random.default_rng(seed)
        mask = pruned_mask(rng, shape, kept)
        within = mask | (rng.random(shape) < rng.random())
        for fraction in (0.0, 0.1, 0.5, 1.0):
            reference = moved(rng, mask, fraction)
            sizes = []
            for contexts in (
                (None, None),
                (reference, None),
                (None, within),
                (reference, within),
            ):
                data = encode_mask(mask, *contexts)
                decoded = decode_mask(data, shape, *contexts)
                np.testing.assert_array_equal(decoded, mask)
                ideal = ideal_bits(mask, *contexts) / 8
                self.assertLessEqual(len(data), 1.03 * ideal + 8)
                sizes.append(len(data))
            self.assertEqual(max(sizes), sizes[0])
            self.assertEqual(min(sizes), sizes[3])

    @parameterized.parameters(*SHAPES)
    def test_same_as_reference_is_a_few_bytes(self, *shape):
        mask = pruned_mask(np.random.default_rng(0), shape, 0.5)
        self.assertLessEqual(len(encode_mask(mask, mask)), 3)
        self.assertLessEqual(len(encode_mask(mask, ~mask)), 3)
        self.assertLessEqual(len(encode_mask(mask, None, mask)), 2)

    def test_overlap_is_used(self):
        rng = np.random.default_rng(1)
        mask = pruned_mask(rng, (784, 100), 0.05)
        alone = len(encode_mask(mask))
        for fraction, most in ((0.02, 0.12), (0.1, 0.4), (0.3, 0.75)):
            reference = moved(rng, mask, fraction)
            size = len(encode_mask(mask, reference))
            self.assertLess(size, most * alone)

    def test_unrelated_reference_is_not_used(self):
        rng = np.random.default_rng(2)
        mask = rng.random((200, 100)) < 0.1
        data = encode_mask(mask, rng.random((200, 100)) < 0.1)
        self.assertEqual(data, encode_mask(mask))
        self.assertFalse(needs_reference(data))

    def test_within_saves_what_is_known(self):
        rng = np.random.default_rng(3)
        within = rng.random((400, 100)) < 0.5
        mask = within & (rng.random((400, 100)) < 0.1)
        saved = len(encode_mask(mask)) - len(encode_mask(mask, None, within))
        # One bit for each slot, as half of the places are left.
        self.assertGreater(8 * saved, 0.95 * np.count_nonzero(mask))

    def test_contexts_are_needed_and_checked(self):
        rng = np.random.default_rng(4)
        mask = pruned_mask(rng, (60, 40), 0.1)
        reference, within = moved(rng, mask, 0.1), mask.copy()
        within[:30] = True
        data = encode_mask(mask, reference)
        self.assertTrue(needs_reference(data))
        with self.assertRaisesRegex(ValueError, "with `reference`"):
            decode_mask(data, mask.shape)
        data = encode_mask(mask, None, within)
        self.assertTrue(needs_within(data))
        with self.assertRaisesRegex(ValueError, "with `within`"):
            decode_mask(data, mask.shape, reference)
        with self.assertRaisesRegex(ValueError, "`reference` must be a bool"):
            encode_mask(mask, reference.astype(int))
        with self.assertRaisesRegex(ValueError, r"`within`.*\(60, 40\)"):
            encode_mask(mask, None, within[:, :-1])
        with self.assertRaisesRegex(ValueError, "contain the mask.*slots"):
            encode_mask(mask, None, ~mask)


class DecodeDamagedMaskTest(parameterized.TestCase):
    def check_no_other_outcome(self, data, shape, *contexts):
        """Damage is found, or another mask of the shape comes out."""
        try:
            decoded = decode_mask(data, shape, *contexts)
        except ValueError as error:
            self.assertRegex(str(error), "damaged|encoded with")
        else:
            self.assertEqual((decoded.shape, decoded.dtype), (shape, bool))

    @parameterized.parameters(*itertools.product(SHAPES, (0.05, 0.5)))
    def test_damage(self, shape, kept):
        rng = np.random.default_rng(6)
        mask = pruned_mask(rng, shape, kept)
        reference = moved(rng, mask, 0.1)
        for contexts in ((), (reference, mask | reference)):
            data = encode_mask(mask, *contexts)
            for length in rng.integers(0, len(data), 20):
                self.check_no_other_outcome(data[:length], shape, *contexts)
            for bit in rng.integers(0, 8 * len(data), 60):
                damaged = bytearray(data)
                damaged[bit // 8] ^= 1 << bit % 8
                self.check_no_other_outcome(bytes(damaged), shape, *contexts)
        with self.assertRaisesRegex(ValueError, "damaged"):
            decode_mask(b"", shape)

    def test_one_byte_too_many(self):
        for mask in (np.zeros((3, 4), bool), np.eye(3, dtype=bool)):
            data = encode_mask(mask)
            self.assertIn(data[0], (0, 1))
            with self.assertRaisesRegex(ValueError, "shape"):
                decode_mask(data + b"a", mask.shape)

    def test_empty_shape(self):
        data = encode_mask(np.eye(4, dtype=bool))
        with self.assertRaisesRegex(ValueError, "shape"):
            decode_mask(data, (0, 4))

    def test_noise(self):
        rng = np.random.default_rng(9)
        for length in range(2, 200):
            for first in (0x02, 0x12, 0x22, 0xFF, 0x05, 0x06, 0x0B):
                noise = bytes([first]) + rng.bytes(length)
                self.check_no_other_outcome(noise, (30, 30))
