import numpy as np
from absl.testing import parameterized

from tsn_keras.bank.gap_strings import (
    DamagedError,
    StringDecoder,
    StringEncoder,
    entropy,
    read_count,
    write_count,
)


class GapStringsTest(parameterized.TestCase):
    def test_counts(self):
        for count in (0, 1, 127, 128, 300, 2**20, 10**9):
            data = b"x" + write_count(count) + b"y"
            self.assertEqual(read_count(data, 1), (count, len(data) - 1))
        with self.assertRaises(IndexError):
            read_count(write_count(300)[:1], 0)

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
        bits = sum(
            float(entropy(np.count_nonzero(s), s.size)) for s in strings
        )
        self.assertLess(8 * len(stream), 1.002 * bits + 64)
        decoder = StringDecoder(stream)
        for string in strings:
            ones = int(np.count_nonzero(string))
            rare, are_ones = decoder.rare(ones, string.size)
            np.testing.assert_array_equal(
                rare, np.flatnonzero(string == are_ones)
            )

    def test_impossible_strings(self):
        encoder = StringEncoder()
        encoder.add(np.array([90, 95, 99]), 100)
        stream = encoder.stream()
        with self.assertRaises(DamagedError):
            StringDecoder(stream).rare(3, 60)
        with self.assertRaises(DamagedError):
            StringDecoder(stream).rare(101, 100)
