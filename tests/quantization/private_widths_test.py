"""Tests of how few bits private variables get."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.bank import PrivateCode
from tsn_keras.quantization import search_private_widths

RNG = np.random.default_rng(0)
VALUES = [
    RNG.normal(size=(40, 10)).astype(np.float32),
    RNG.normal(size=(100,)).astype(np.float32),
    RNG.normal(size=(10,)).astype(np.float32),
    RNG.normal(size=(20, 20)).astype(np.float32),
]


def closeness(codes: list[PrivateCode], values=VALUES) -> float:
    """Falls as the decoded values leave the true ones."""
    errors = [
        np.abs(code.decode() - value).max()
        for code, value in zip(codes, values)
    ]
    return -float(np.max(errors))


class PrivateWidthsTest(parameterized.TestCase):
    @parameterized.parameters(-2.0, -0.5, -0.1, -0.02, -1e-4)
    def test_what_is_found_is_acceptable(self, acceptable):
        codes = search_private_widths(VALUES, closeness, acceptable)
        self.assertGreaterEqual(closeness(codes), acceptable)
        together = max(code.width for code in codes)
        for width in range(2, min(together, 9)):
            same = [PrivateCode.encode(value, width) for value in VALUES]
            self.assertLess(closeness(same), acceptable)

    def test_large_variables_get_fewer_bits_where_they_may(self):
        scaled = [0.01 * VALUES[0], *VALUES[1:]]

        def quality(codes):
            return closeness(codes, scaled)

        codes = search_private_widths(scaled, quality, -0.05)
        self.assertGreaterEqual(quality(codes), -0.05)
        self.assertLess(codes[0].width, codes[1].width)

    def test_many_variables_take_few_validations(self):
        many = VALUES * 50
        calls = []

        def quality(codes):
            calls.append(codes)
            return closeness(codes, many)

        search_private_widths(many, quality, -0.02)
        self.assertLess(len(calls), 24)

    @parameterized.parameters(1, 2, 4, 5)
    def test_an_interrupt_ends_with_the_best_so_far(self, calls):
        found = []

        def quality(codes):
            if len(found) == calls:
                raise KeyboardInterrupt
            found.append((closeness(codes), codes))
            return found[-1][0]

        with self.assertWarnsRegex(UserWarning, "interrupted"):
            codes = search_private_widths(VALUES, quality, -0.1)
        held = [tried for value, tried in found if value >= -0.1]
        self.assertGreaterEqual(closeness(codes), -0.1)
        fewest = min([32] + [sum(c.width for c in tried) for tried in held])
        if held:
            self.assertEqual(sum(code.width for code in codes), fewest)

    def test_float32_where_no_width_is_acceptable(self):
        codes = search_private_widths(VALUES, closeness, 1.0)
        self.assertEqual([code.width for code in codes], [32] * len(VALUES))
