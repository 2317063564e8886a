"""Codes of any width come out of a bundle's bytes as they went in."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.lite.byte_store import ByteReader, ByteStore
from tsn_keras.lite.code_streams import (
    CodeReader,
    common_digits,
    store_codes,
)

COUNTS = (1, 7, 8, 1000)


def random_codes(seed, width, count):
    random = np.random.default_rng(seed)
    return random.integers(0, 2**width, count)


def read(streams, widths, meaning=tf.identity, part=1.0):
    """Returns what is read of each stream, its first entries only."""
    store, digits = ByteStore(), common_digits(widths)
    counts = [max(1, int(part * codes.size)) for codes in streams]
    rows = [
        store_codes(store, "codes", codes, width, count, digits)
        for codes, width, count in zip(streams, widths, counts)
    ]
    reader = ByteReader(store.array())
    found = []
    for number, row in enumerate(rows):
        codes = CodeReader(reader, tf.constant(number))
        row = {
            name: tf.constant(np.atleast_1d(value), tf.int32)
            for name, value in row.items()
        }
        found.append(codes.read(row, "codes", digits, meaning).numpy())
    return found, store.array().size


class CodeStreamsTest(parameterized.TestCase):
    @parameterized.product(width=tuple(range(1, 17)), count=COUNTS)
    def test_any_width(self, width, count):
        codes = random_codes(width, width, count)
        (found,), size = read([codes], [width])
        np.testing.assert_array_equal(found, codes)
        # No bit is spent but to fill up eight codes.
        self.assertEqual(size, -(-count // 8) * width)

    @parameterized.parameters(
        ([2, 3],), ([1, 2, 4, 8],), ([7, 2, 5],), ([3, 16, 1],), ([8, 8],)
    )
    def test_tasks_of_different_widths(self, widths):
        streams = [
            random_codes(seed, width, 90 + 40 * seed)
            for seed, width in enumerate(widths)
        ]
        for part in (1.0, 0.4):
            found, _ = read(streams, widths, part=part)
            for codes, stream in zip(found, streams):
                np.testing.assert_array_equal(codes, stream[: codes.size])

    def test_few_bytes_and_a_digit_that_others_have(self):
        """What a code lacks is read from somewhere within the bytes."""
        streams = [random_codes(0, 1, 900), random_codes(1, 16, 3)]
        found, _ = read(streams, [1, 16])
        for codes, stream in zip(found, streams):
            np.testing.assert_array_equal(codes, stream)

    @parameterized.parameters(([4],), ([3],), ([4, 2],), ([3, 5],))
    def test_meaning(self, widths):
        book = np.random.default_rng(0).random(32).astype(np.float32)
        streams = [random_codes(seed, w, 50) for seed, w in enumerate(widths)]
        found, _ = read(streams, widths, lambda codes: tf.gather(book, codes))
        for values, stream in zip(found, streams):
            np.testing.assert_array_equal(values, book[stream])
