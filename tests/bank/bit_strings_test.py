import numpy as np
from absl.testing import parameterized

from tsn_keras.bank.bit_strings import (
    DamagedError,
    StringDecoder,
    StringEncoder,
    count_bits,
    entropy,
)


class BitStringsTest(parameterized.TestCase):
    def test_strings_come_back_in_order(self):
        rng = np.random.default_rng(0)
        densities = (0, 1e-4, 0.003, 0.05, 0.4, 0.5, 0.6, 0.95, 0.999, 1)
        strings = [
            rng.random(size) < density
            for size in (1, 2, 40, 3000, 100_000)
            for density in densities
        ]
        encoder = StringEncoder()
        for string in strings:
            encoder.add(np.flatnonzero(string), string.size)
        stream = encoder.stream()
        ones = np.array([np.count_nonzero(string) for string in strings])
        sizes = np.array([string.size for string in strings])
        bits = (entropy(ones, sizes) + count_bits(sizes)).sum()
        self.assertLess(8 * len(stream), 1.0001 * bits + 16)
        decoder = StringDecoder(stream)
        for string in strings:
            ones = decoder.ones(string.size)
            np.testing.assert_array_equal(ones, np.flatnonzero(string))

    def test_noise_is_found_or_a_string(self):
        rng = np.random.default_rng(1)
        for length in range(200):
            decoder = StringDecoder(rng.bytes(length))
            try:
                ones = decoder.ones(1000)
            except DamagedError:
                continue
            self.assertTrue((np.diff(ones) > 0).all())
            self.assertLess(ones.size and ones[-1], 1000)
