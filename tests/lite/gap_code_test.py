"""Positions come back from their code as the graph computes them."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.lite.gap_code import encode_gaps


def decode(code):
    unary = np.unpackbits(code.high, bitorder="little")[: code.ends[-1]]
    ones = np.flatnonzero(unary)
    return np.cumsum(code.low + 1 - code.step) + code.step * ones


class GapCodeTest(parameterized.TestCase):
    @parameterized.parameters(0.001, 0.05, 0.3, 0.9, 1.0)
    def test_round_trip(self, density):
        random = np.random.default_rng(0)
        mask = random.random(20000) < density
        mask[13] = True
        positions = np.flatnonzero(mask)
        code = encode_gaps(positions)
        np.testing.assert_array_equal(decode(code), positions)

    @parameterized.parameters(0.02, 0.05, 0.2)
    def test_size_is_near_the_entropy(self, density):
        mask = np.random.default_rng(1).random(100000) < density
        code = encode_gaps(np.flatnonzero(mask))
        share = np.array([density, 1 - density])
        entropy = -(share * np.log2(share)).sum() * mask.size / 8
        low = code.low.size * code.width / 8
        self.assertLess(low + code.high.size, 1.06 * entropy)
