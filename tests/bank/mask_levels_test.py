import numpy as np
from absl.testing import parameterized

from tsn_keras.bank.bit_strings import StringDecoder, StringEncoder
from tsn_keras.bank.mask_levels import best_levels, decode_cells, encode_cells

SHAPES = ((1, 40), (40, 1), (7, 9), (30, 300), (511, 40))


def uneven_mask(rng, shape, density):
    """A mask whose rows and columns differ in density."""
    rows, columns = rng.random((shape[0], 1)), rng.random((1, shape[1]))
    return rng.random(shape) < 3 * density * rows * columns


class MaskLevelsTest(parameterized.TestCase):
    @parameterized.product(
        shape=SHAPES, density=(0.02, 0.5), has_domain=(False, True)
    )
    def test_round_trip_of_the_length_that_was_promised(
        self, shape, density, has_domain
    ):
        rng = np.random.default_rng(0)
        mask, domain = uneven_mask(rng, shape, density), None
        if has_domain:
            domain = rng.random(shape) < 0.6
            mask &= domain
        mask[0, 0], slots = True, mask.size
        if has_domain:
            domain[0, 0], slots = True, np.count_nonzero(domain)
        bits, levels = best_levels(mask, domain)
        self.assertEqual([axis.size for axis in levels], list(shape))
        encoder = StringEncoder()
        encode_cells(mask, domain, levels, encoder)
        stream = encoder.stream()
        self.assertLess(abs(8 * len(stream) - bits), 32)
        self.assertLess(len(stream), slots / 8 + 3)
        num_levels = tuple(int(axis.max()) + 1 for axis in levels)
        self.assertLessEqual(max(num_levels), 15)
        decoder = StringDecoder(stream)
        decoded = decode_cells(shape, domain, num_levels, decoder)
        np.testing.assert_array_equal(decoded, mask)

    def test_rows_and_columns_of_two_densities(self):
        mask = np.zeros((60, 50), bool)
        mask[::2, :25] = np.random.default_rng(0).random((30, 25)) < 0.3
        _, (rows, columns) = best_levels(mask, None)
        # Empty rows and columns are levels of their own.
        np.testing.assert_array_equal(rows == 0, ~mask.any(axis=1))
        np.testing.assert_array_equal(columns == 0, ~mask.any(axis=0))
