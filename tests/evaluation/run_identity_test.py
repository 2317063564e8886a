"""Tests of what tells the data and settings of one run from others."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tsn_keras.evaluation.run_identity import (
    describe_arguments,
    describe_data,
    describe_settings,
)


def arrays(count=300, change=0.0):
    x = np.random.default_rng(0).random((count, 3), np.float32)
    x[-1] += change
    return x, np.arange(count) % 4


def dataset(*args, **kwargs):
    return tf.data.Dataset.from_tensor_slices(arrays(*args, **kwargs))


class Batches(keras.utils.PyDataset):
    """The examples of `arrays`, ten at a time."""

    def __init__(self, change=0.0):
        super().__init__()
        self.arrays = arrays(change=change)

    def __len__(self):
        return 30

    def __getitem__(self, index):
        rows = slice(10 * index, 10 * index + 10)
        return tuple(column[rows] for column in self.arrays)


def noisy(x, y):
    return x + tf.random.uniform(tf.shape(x)), y


def scaled(factor):
    """Returns a backbone with a frozen layer that multiplies its inputs."""
    values = keras.initializers.Constant(np.diag([factor] * 16))
    frozen = keras.layers.Dense(
        16, use_bias=False, kernel_initializer=values, trainable=False
    )
    return keras.Sequential([keras.Input((16,)), frozen, keras.layers.Dense(4)])


class DataTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("data_set", lambda **kwargs: dataset(**kwargs).batch(10)),
        ("py_dataset", Batches),
        ("shuffled", lambda **kwargs: dataset(**kwargs).shuffle(300).batch(10)),
        (
            "shuffled_in_batches",
            lambda **kwargs: dataset(**kwargs).batch(10).shuffle(30),
        ),
    )
    def test_content_counts(self, make):
        one = describe_data(make(), 1000)
        self.assertEqual(one, describe_data(make(), 1000))
        self.assertNotEqual(one, describe_data(make(change=1e-6), 1000))

    def test_training_data_in_part(self):
        whole, part = (describe_data(dataset().batch(7), n) for n in (None, 50))
        self.assertNotEqual(whole, part)
        other = dataset(change=1.0).batch(7)
        self.assertEqual(describe_data(other, 50), part)
        self.assertNotEqual(describe_data(other), whole)

    def test_order_and_batches_count(self):
        one = describe_data(dataset().batch(10))
        backwards = tuple(column[::-1] for column in arrays())
        others = [
            tf.data.Dataset.from_tensor_slices(backwards).batch(10),
            dataset().batch(20),
            dataset().batch(10).take(29),
            dataset().map(lambda x, y: (x, tf.cast(y, tf.int32))).batch(10),
            dataset().map(lambda x, y: (x, y, 1.0)).batch(10),
        ]
        for other in others:
            self.assertNotEqual(describe_data(other), one)

    def test_random_augmentation_is_not_compared(self):
        # With a global seed it would be alike in each pass.
        tf.random.set_seed(None)
        one, other = (
            describe_data(dataset(change=change).map(noisy).batch(10))
            for change in (0.0, 1.0)
        )
        self.assertEqual(one, other)
        self.assertNotIn("examples", one)
        self.assertNotEqual(one, describe_data(dataset(200).batch(10)))

    def test_iterators_are_left_alone(self):
        iterator = iter([arrays(), arrays()])
        self.assertEqual(describe_data(iterator), {"form": "list_iterator"})
        self.assertLen(list(iterator), 2)

    @parameterized.parameters(
        (lambda n: tf.constant([["a", "b"], ["c", "d"]][:n]),),
        (lambda n: tf.ragged.constant([[1, 2], [3]][:n]),),
        (lambda n: tf.sparse.eye(2, 3) if n == 2 else tf.sparse.eye(1, 3),),
        (lambda n: {"x": np.arange(6.0).reshape(2, 3)[:n]},),
    )
    def test_inputs_of_all_kinds(self, make):
        one, again, other = (
            describe_data(tf.data.Dataset.from_tensors((make(n), [1] * n)))
            for n in (2, 2, 1)
        )
        self.assertEqual(one, again)
        self.assertNotEqual(one["examples"], other["examples"])


class SettingsTest(parameterized.TestCase):
    def test_frozen_weights_count(self):
        one, again, other = (
            describe_settings(tsn_keras.ContinualModel(scaled(f)), "accuracy")
            for f in (0.5, 0.5, 0.25)
        )
        self.assertEqual(one, again)
        self.assertNotEqual(one["frozen weights"], other["frozen weights"])

    def test_arguments(self):
        def described(**arguments):
            return describe_arguments(arguments)

        one = described(epochs=4, class_weight={0: 1.0})
        self.assertEqual(one, described(epochs=4, class_weight={0: 1.0}))
        self.assertNotEqual(one, described(epochs=5, class_weight={0: 1.0}))
        self.assertNotEqual(one, described(epochs=4, class_weight={0: 2.0}))
        self.assertNotEqual(one, described(epochs=4))
        quiet = described(epochs=4, verbose=0, callbacks=[])
        self.assertEqual(quiet, described(epochs=4, verbose=2))
        arrays = described(sample_weight=np.ones(3))
        self.assertEqual(arrays, described(sample_weight=np.zeros(3)))
