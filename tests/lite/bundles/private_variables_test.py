"""Private variables come out of a bundle's bytes as they went in."""

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.bank import PrivateCode
from tsn_keras.lite.bundles.private_variables import (
    PrivateLayout,
    decode_private,
    split_private,
)
from tsn_keras.lite.bundles.streams import ByteReader, ByteStore, CodeReader

SHAPES = ((7,), (3, 5), (), (4,), (2, 3, 2))


def random_codes(seed, widths=(4, 6, 8, 16, 32)):
    random = np.random.default_rng(seed)
    return [
        PrivateCode.encode(
            random.standard_normal(shape).astype(np.float32),
            int(random.choice(widths)),
        )
        for shape in SHAPES
    ]


def constants(value):
    return [
        PrivateCode.encode(np.full(shape, value, np.float32), 32)
        for shape in SHAPES
    ]


def decoded(tasks):
    """Returns the variables of all tasks, and the bytes that hold them."""
    store = ByteStore()
    layout = PrivateLayout(tasks, store)
    reader = ByteReader(store.array())
    values = []
    for index, codes in enumerate(tasks):
        number = tf.constant(index)
        found = decode_private(
            layout, reader, number, CodeReader(reader, number)
        )
        parts, _ = split_private(found, [code.shape for code in codes])
        values.append(parts)
    return values, store.array().size


class PrivateLayoutTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("one_width", [random_codes(0, (4,)), random_codes(1, (4,))]),
        ("all_widths", [random_codes(seed) for seed in range(9)]),
        ("constants", [constants(0.0), random_codes(3), constants(-2.5)]),
        ("only_constants", [constants(1.0)]),
        (
            "in_common",
            [
                random_codes(0),
                random_codes(0)[:3] + random_codes(5)[3:],
                random_codes(0)[:3] + random_codes(6)[3:],
                random_codes(0)[:1] + random_codes(5)[1:],
            ],
        ),
        (
            "more_of_some_tasks",
            [
                random_codes(0),
                random_codes(1)[:3],
                random_codes(0)[:3] + constants(2.0)[1:2],
                constants(0.0)[:1],
            ],
        ),
    )
    def test_every_bit_comes_back(self, tasks):
        values, _ = decoded(tasks)
        for codes, arrays in zip(tasks, values):
            for code, array in zip(codes, arrays):
                np.testing.assert_array_equal(array, code.decode())

    def test_what_tasks_have_in_common_is_stored_once(self):
        large = PrivateCode.encode(
            np.random.default_rng(0).standard_normal(1000).astype("f"), 8
        )
        tasks = [[large, code] for code in random_codes(1, (4,))[:1] * 9]
        _, size = decoded(tasks)
        self.assertLess(size, 1200)
