"""Forms of weights: the bytes that firmware decodes."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.lite.micro import weight_forms


def weights(kept, values=200, shape=(24, 100), seed=0):
    random = np.random.default_rng(seed)
    chosen = random.integers(-values // 2, values // 2, shape)
    return (chosen * (random.random(shape) < kept)).astype(np.int8)


class WeightFormsTest(parameterized.TestCase):
    def test_bitmap_is_written_as_documented(self):
        found = np.zeros((1, 2400), np.int8)
        found[0, [0, 9]] = 5, -3
        form = weight_forms.smallest_form(found)
        self.assertEqual(form.name, "bitmap")
        # Most significant bit first.
        self.assertEqual(form.encoded[:3], bytes([0x80, 0x40, 0]))
        self.assertLen(form.encoded, 300)
        header = bytes([2, 1, 0, 0, 1]).ljust(16, b"\0")
        self.assertEqual(form.ancillary, header + bytes([5, 253]))

    def test_lookup_is_written_as_documented(self):
        found = np.tile(np.int8([7, -7, 3]), (24, 40))
        form = weight_forms.smallest_form(found)
        self.assertEqual(form.name, "lookup")
        # Sorted values -7, 3, 7 in two bits each: 2, 0, 1, 2.
        self.assertEqual(form.encoded[0], 0b10_00_01_10)
        self.assertLen(form.encoded, found.size // 4)
        header = bytes([0, 1, 0, 0, 1, 0xF2, 0]).ljust(16, b"\0")
        self.assertEqual(form.ancillary, header + bytes([249, 3, 7]))

    def test_a_table_for_each_channel(self):
        rows = np.random.default_rng(0).integers(-128, 128, (24, 4))
        chosen = np.random.default_rng(1).integers(0, 4, (24, 100))
        found = np.take_along_axis(rows, chosen, 1).astype(np.int8)
        form = weight_forms.smallest_form(found, axis=0)
        self.assertEqual(form.name, "lookup")
        # Two bits, axis 0, four values for each channel.
        self.assertEqual(form.ancillary[4:7], bytes([1, 0x02, 4]))
        self.assertLen(form.ancillary, 16 + 24 * 4)
        last = weight_forms.smallest_form(found.T.copy(), axis=1)
        self.assertEqual(last.ancillary[5], 0x12)

    @parameterized.product(
        kept=[0.02, 0.3, 0.8], values=[3, 14, 60], axis=[None, 0, 1]
    )
    def test_forms_are_exact_and_smaller(self, kept, values, axis):
        found = weights(kept, values)
        form = weight_forms.smallest_form(found, axis)
        self.assertLess(form.size, found.nbytes)
        restored = weight_forms.decoded(form, found.shape)
        np.testing.assert_array_equal(restored, found)

    def test_the_smaller_form_is_taken(self):
        names = {
            kept: weight_forms.smallest_form(weights(kept, 14)).name
            for kept in (0.1, 0.9)
        }
        self.assertEqual(names, {0.1: "bitmap", 0.9: "lookup"})

    def test_plain_where_no_form_is_smaller(self):
        self.assertIsNone(weight_forms.smallest_form(weights(1.0)))
        few = weights(0.1, shape=(4, 20))
        self.assertIsNone(weight_forms.smallest_form(few))
        only = weight_forms.smallest_form(weights(0.1), forms=["plain"])
        self.assertIsNone(only)
