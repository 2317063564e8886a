import time

import numpy as np
from absl.testing import parameterized

from tsn_keras.bank.packing import pack_codes, unpack_codes

WIDTHS = tuple(range(1, 9))


def reference_stream(codes, width):
    """The stream bit by bit, from the definition."""
    value = sum(int(code) << (i * width) for i, code in enumerate(codes))
    return value.to_bytes(-(-len(codes) * width // 8), "little")


class PackCodesTest(parameterized.TestCase):
    @parameterized.parameters(*WIDTHS)
    def test_matches_definition(self, width):
        rng = np.random.default_rng(width)
        for count in [*range(20), 63, 64, 65, 200]:
            codes = rng.integers(0, 2**width, count)
            packed = pack_codes(codes, width)
            self.assertEqual(packed.dtype, np.uint8)
            self.assertEqual(packed.tobytes(), reference_stream(codes, width))

    @parameterized.parameters(*WIDTHS)
    def test_round_trip(self, width):
        rng = np.random.default_rng(100 + width)
        for count in rng.integers(0, 5000, 20):
            codes = rng.integers(0, 2**width, count)
            unpacked = unpack_codes(pack_codes(codes, width), width, count)
            self.assertEqual(unpacked.dtype, np.uint8)
            np.testing.assert_array_equal(unpacked, codes)

    @parameterized.parameters(*WIDTHS)
    def test_extreme_codes(self, width):
        codes = np.full(77, 2**width - 1)
        np.testing.assert_array_equal(
            unpack_codes(pack_codes(codes, width), width, 77), codes
        )

    def test_any_integer_dtype_and_layout(self):
        codes = np.arange(100) % 8
        expected = pack_codes(codes, 3)
        for dtype in ("u1", "i1", "<u2", ">u2", ">i8", "u8"):
            np.testing.assert_array_equal(
                pack_codes(codes.astype(dtype), 3), expected
            )
        strided = np.repeat(codes, 2)[::2]
        np.testing.assert_array_equal(pack_codes(strided, 3), expected)

    def test_result_does_not_alias_the_codes(self):
        codes = np.arange(16, dtype=np.uint8)
        packed = pack_codes(codes, 8)
        unpacked = unpack_codes(packed, 8, 16)
        codes[:] = 0
        packed[:] = 0
        np.testing.assert_array_equal(unpacked, np.arange(16))

    @parameterized.parameters(0, 9, 16, 17, -1)
    def test_width_out_of_range(self, width):
        with self.assertRaisesRegex(ValueError, f"`width`.*{width}"):
            pack_codes(np.zeros(3, int), width)
        with self.assertRaisesRegex(ValueError, f"`width`.*{width}"):
            unpack_codes(np.zeros(3, np.uint8), width, 3)

    @parameterized.parameters(*WIDTHS)
    def test_code_too_large(self, width):
        codes = np.array([0, 2**width, 1])
        with self.assertRaisesRegex(ValueError, f"Received: {2**width}"):
            pack_codes(codes, width)

    def test_code_negative(self):
        with self.assertRaisesRegex(ValueError, "Received: -2"):
            pack_codes(np.array([1, -2]), 4)

    def test_codes_not_integer_or_not_flat(self):
        with self.assertRaisesRegex(ValueError, "float64"):
            pack_codes(np.array([1.0]), 4)
        with self.assertRaisesRegex(ValueError, "shape"):
            pack_codes(np.zeros((2, 2), int), 4)

    @parameterized.parameters(*WIDTHS)
    def test_wrong_length(self, width):
        packed = pack_codes(np.arange(50) % 2, width)
        for wrong in (packed[:-1], np.append(packed, packed[:1])):
            with self.assertRaisesRegex(ValueError, "truncated"):
                unpack_codes(wrong, width, 50)

    def test_bits_after_the_last_code(self):
        packed = pack_codes(np.array([1, 2, 3]), 3)
        packed[-1] |= 0x80
        with self.assertRaisesRegex(ValueError, "after its last code"):
            unpack_codes(packed, 3, 3)

    def test_count_negative(self):
        with self.assertRaisesRegex(ValueError, "`count`"):
            unpack_codes(np.zeros(0, np.uint8), 3, -1)

    def test_speed(self):
        codes = np.random.default_rng(0).integers(0, 8, 10**6, np.uint8)
        pack_codes(codes, 3)
        start = time.perf_counter()
        unpack_codes(pack_codes(codes, 3), 3, codes.size)
        # About 2.5 ms; a loop over the codes would take seconds.
        self.assertLess(time.perf_counter() - start, 0.2)
