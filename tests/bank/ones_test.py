"""Tests of how ones are counted."""

import numpy as np
from absl.testing import absltest, parameterized

from tsn_keras.bank.ones import ones_of_columns, ones_of_rows


class OnesTest(parameterized.TestCase):
    @parameterized.product(
        shape=((0, 3), (3, 0), (1, 1), (7, 9), (255, 8), (511, 4081)),
        density=(0.0, 0.3, 1.0),
    )
    def test_as_numpy_counts(self, shape, density):
        matrix = np.random.default_rng(0).random(shape) < density
        # Rows that do not begin at a word, and some of the rows only.
        for one in (matrix, matrix[:, 1:], matrix[::2]):
            for axis, count in ((0, ones_of_columns), (1, ones_of_rows)):
                counts = count(one)
                expected = np.count_nonzero(one, axis=axis)
                np.testing.assert_array_equal(counts, expected)
                self.assertEqual(counts.dtype, np.int64)


if __name__ == "__main__":
    absltest.main()
