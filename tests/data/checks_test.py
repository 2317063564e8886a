"""Tests of which loss a label is for, and what Keras' own losses take."""

import functools

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.data import check_several_classes, check_targets

NAN = np.float32([[1.0, np.nan]])
FINE = np.float32([[1.0, 2.0]])


def masked(y_true, y_pred):
    error = keras.ops.square(y_true - y_pred)
    return keras.ops.where(keras.ops.isnan(y_true), 0.0, error)


class Masked(keras.losses.MeanSquaredError):
    def call(self, y_true, y_pred):
        return masked(y_true, y_pred)


def mean_squared_error(y_true, y_pred):
    return masked(y_true, y_pred)


OWN = (
    masked,
    Masked(),
    mean_squared_error,
    lambda y_true, y_pred: masked(y_true, y_pred),
    functools.partial(masked),
    None,
)
OF_KERAS = (
    "mse",
    keras.losses.MeanSquaredError(),
    keras.losses.mean_squared_error,
    keras.losses.MeanSquaredError,
)


class TargetsTest(parameterized.TestCase):
    @parameterized.parameters(*OF_KERAS)
    def test_nan_with_a_loss_of_keras(self, loss):
        with self.assertRaisesRegex(ValueError, "`y` has 1 entries .*NaN"):
            check_targets(NAN, loss, "y")

    @parameterized.parameters(*OWN)
    def test_nan_with_a_users_own_loss(self, loss):
        check_targets(NAN, loss, "y")

    @parameterized.parameters(
        ({"a": NAN, "b": FINE}, {"a": masked, "b": "mse"}, None, True),
        ({"a": FINE, "b": NAN}, {"a": masked, "b": "mse"}, None, False),
        ([NAN, FINE], [masked, "mse"], None, True),
        ((FINE, NAN), [masked, "mse"], None, False),
        ([NAN, FINE], {"b": "mse", "a": masked}, ["a", "b"], True),
        ([FINE, NAN], {"b": "mse", "a": masked}, ["a", "b"], False),
        ({"b": FINE, "a": NAN}, [masked, "mse"], ["a", "b"], True),
        ({"b": NAN, "a": FINE}, [masked, "mse"], ["a", "b"], False),
        ({"a": NAN, "b": FINE}, {"b": "mse"}, None, True),
        ([NAN, FINE], "mse", None, False),
        ([NAN, FINE], masked, None, True),
        (NAN, [masked], None, True),
        (NAN, {"a": "mse"}, None, False),
    )
    def test_each_output_goes_by_its_own_loss(self, y, loss, names, passes):
        if passes:
            check_targets(y, loss, "y", names)
            return
        with self.assertRaisesRegex(ValueError, "`y` has 1 entries"):
            check_targets(y, loss, "y", names)

    def test_text(self):
        for labels in (np.array(["a", "b"]), tf.constant(["a", "b"])):
            with self.assertRaisesRegex(TypeError, "`y` has text.*np.unique"):
                check_targets(labels, "mse", "y")
            check_targets(labels, masked, "y")

    def test_ragged_labels(self):
        labels = tf.ragged.constant([[1.0], [2.0, np.nan]])
        with self.assertRaisesRegex(ValueError, "`y` has 1 entries .* of 3"):
            check_targets(labels, "mse", "y")
        check_targets(labels, masked, "y")

    def test_ignored_labels_are_no_class(self):
        loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
        with self.assertRaisesRegex(ValueError, "one class only, 3"):
            check_several_classes([np.array([3, -1]), np.array([3])], loss)
        check_several_classes([np.array([3, -1]), np.array([2])], loss)
