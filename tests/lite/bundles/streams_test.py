"""Codes, positions and tables come out of a bundle as they went in."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.lite.bundles.streams import (
    ByteReader,
    ByteStore,
    CodeReader,
    TaskTable,
    common_digits,
    encode_gaps,
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


class TaskTableTest(parameterized.TestCase):
    @parameterized.parameters((), ("place",), ("place", "shape", "far"))
    def test_every_field_comes_back(self, *hidden):
        rows = [
            {
                "place": 100_000 * task,
                "same_place": 7,
                "shape": (-1, 3),
                "size": 40 + task,
                "far": -(2**31),
                "also_size": 40 + task,
            }
            for task in range(3)
        ]
        table = TaskTable(rows, hidden)
        for task, row in enumerate(rows):
            found = table.read(tf.constant(task))
            for name, value in row.items():
                np.testing.assert_array_equal(
                    found[name], np.atleast_1d(value), name
                )

    @parameterized.parameters(
        # What is equal is no column, and what two fields have in common is one.
        ([{"a": 1, "b": 5}, {"a": 1, "b": 6}], (), 4),
        ([{"a": 5, "b": 5}, {"a": 6, "b": 6}], (), 4),
        ([{"a": 1, "b": 5}, {"a": 1, "b": 6}], ("a",), 4),
        ([{"a": 2**15}, {"a": 0}], (), 8),
        ([{"a": (1, 2)}, {"a": (1, 3)}], (), 8),
        ([{"a": 1}], (), 0),
    )
    def test_bytes(self, rows, hidden, num_bytes):
        table = TaskTable(rows, hidden)
        read = tf.function(table.read).get_concrete_function(
            tf.TensorSpec([], tf.int32)
        )
        operations = read.graph.get_operations()
        constants = [
            tf.make_ndarray(operation.get_attr("value"))
            for operation in operations
            if operation.type == "Const"
        ]
        # A row for each task.
        tables = [array.nbytes for array in constants if array.ndim == 2]
        self.assertEqual(sum(tables), num_bytes)
