"""Tests of the one rule for data of another dtype."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.data import as_taken, check_casts, explaining_casts

# Data, the dtype that is wanted, and whether the cast changes a value.
CASTS = {
    "images": (np.uint8([0, 255]), "float32", False),
    "whole floats": (np.float32([0, 7]), "int32", False),
    "fractions": (np.float32([0, 0.5]), "uint8", True),
    "nan": (np.float32([0, np.nan]), "int32", True),
    "NumPy's floats": (np.float64([0.1]), "float32", False),
    "halves": (np.float32([0.1]), "float16", False),
    "too large for a float": (np.float64([1e300]), "float32", True),
    "too large for a half": (np.float32([1e6]), "float16", True),
    "NumPy's integers": (np.int64([3, -4]), "int32", False),
    "narrower integers": (np.int64([2**40]), "int32", True),
    "one too large": (np.int32([256]), "uint8", True),
    "negative": (np.int8([-1]), "uint8", True),
    "of the same size": (np.uint8([200]), "int8", True),
    "few digits": (np.int32([2**24]), "float32", False),
    "many digits": (np.int32([2**24 + 1]), "float32", True),
    "largest": (np.int32([2**31 - 1]), "float32", True),
    "bits": (np.bool_([0, 1]), "float32", False),
    "numbers for bits": (np.uint8([0, 1]), "bool", False),
    "too large for a bit": (np.uint8([2]), "bool", True),
    "text": (np.array(["1"]), "float32", True),
    "bytes": (np.array([b"1"], object), "float32", True),
    "numbers for text": (np.float32([1]), "string", True),
    "text for text": (np.array([b"a"], object), "string", False),
    "bfloat16": (np.asarray(tf.constant([0.5], tf.bfloat16)), "int32", True),
}
NAMES = [(name.replace(" ", "_"), name) for name in CASTS]


def taken(x, wanted, jit_compile=False, compiled=True):
    """Returns a batch as a step takes it."""
    expected = keras.KerasTensor((None,), wanted)

    def step(batch):
        return as_taken(batch, expected, jit_compile)

    function = tf.function(step) if compiled else step
    with explaining_casts():
        return function(tf.constant(x))


class DtypesTest(parameterized.TestCase):
    @parameterized.named_parameters(*NAMES)
    def test_what_a_cast_would_change_is_refused(self, name):
        data, wanted, changes = CASTS[name]
        expected = {"a": keras.KerasTensor((None,), wanted)}
        given = (f"`x` is .*, and the model's inputs are {wanted}",)
        if not changes:
            check_casts({"a": data}, expected, "x")
            check_casts({"a": tf.constant(data)}, expected, "x")
            return
        with self.assertRaisesRegex(ValueError, given[0]):
            check_casts({"a": data}, expected, "x")

    @parameterized.named_parameters(*NAMES)
    def test_steps_look_at_each_batch(self, name):
        data, wanted, changes = CASTS[name]
        both = data.dtype.kind == "f" and wanted.startswith("float")
        for compiled in (True, False):
            if changes and not both:
                with self.assertRaisesRegex(ValueError, "`x` is .*inputs are"):
                    taken(data, wanted, compiled=compiled)
                continue
            found = taken(data, wanted, compiled=compiled)
            # Layers round floats themselves.
            self.assertEqual(found.dtype.name == wanted, not both)
            np.testing.assert_array_equal(np.asarray(found), data)

    def test_what_xla_compiles(self):
        self.assertEqual(taken(np.int64([3]), "int32", True).dtype, tf.int32)
        with self.assertRaisesRegex(ValueError, "values may change"):
            taken(np.float32([3]), "int32", True)

    def test_nests_are_left_alone_where_they_fit(self):
        expected = [keras.KerasTensor((None,), "float32", name=n) for n in "ab"]
        x = {"b": tf.ones(2), "a": tf.zeros(2), "unused": tf.ones(2)}
        self.assertIs(as_taken(x, expected), x)
        x["a"] = tf.zeros(2, tf.uint8)
        first, second = as_taken(x, expected)
        self.assertEqual([first.dtype, second.dtype], [tf.float32] * 2)
        np.testing.assert_array_equal(first, [0, 0])

    def test_ragged_and_sparse(self):
        expected = keras.KerasTensor((None, None), "int32")
        for part in (
            tf.ragged.constant([[0.5], [1.0, 2.0]]),
            tf.sparse.from_dense([[0.5, 0.0]]),
        ):
            with self.assertRaisesRegex(ValueError, "0.5 would become 0"):
                check_casts(part, expected, "x")
