"""Tests of looking at training data."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.data import TrainingData, evaluation_batches

X = np.arange(40, dtype="float32").reshape(20, 2)
Y = np.arange(20)


class Batches(keras.utils.PyDataset):
    def __init__(self, endless=False):
        super().__init__()
        self.endless = endless

    @property
    def num_batches(self):
        return None if self.endless else 4

    def __getitem__(self, index):
        rows = slice(5 * index, 5 * index + 5)
        return X[rows], Y[rows]


def generator():
    yield from (Batches()[index] for index in range(4))


KINDS = {
    "dataset": lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(5),
    "pydataset": Batches,
    "generator": generator,
}


class TrainingDataTest(parameterized.TestCase):
    def test_arrays_are_sampled_evenly(self):
        data = TrainingData(X, Y)
        ((x, y, weights),) = data.first_batches(3)
        np.testing.assert_array_equal(y, [0, 9, 19])
        np.testing.assert_array_equal(x, X[[0, 9, 19]])
        self.assertIsNone(weights)
        np.testing.assert_array_equal(data.sample(100), X)

    @parameterized.parameters(*KINDS)
    def test_batches_are_sampled_from_the_front(self, kind):
        data = TrainingData(KINDS[kind]())
        np.testing.assert_array_equal(data.sample(7), X[:7])
        self.assertLen(data.first_batches(1), 1)

    @parameterized.parameters(False, True)
    def test_targets_are_noticed(self, as_dataset):
        for y in (None, Y):
            parts = (X,) if y is None else (X, y)
            if as_dataset:
                data = tf.data.Dataset.from_tensor_slices(parts).batch(5)
                parts = (data,)
            data = TrainingData(*parts)
            data.first_batches(1)
            self.assertEqual(data.has_targets, y is not None)

    def test_nested_inputs(self):
        data = TrainingData({"a": X, "b": Y}, Y)
        sample = data.sample(4)
        self.assertEqual(sample["a"].shape, (4, 2))
        self.assertEqual(sample["b"].shape, (4,))

    def test_what_was_seen_of_a_generator_comes_again(self):
        data = TrainingData(generator())
        data.first_batches(7)
        data.sample(1)
        seen = np.concatenate([y for _, y in data.x])
        np.testing.assert_array_equal(seen, Y)

    def test_a_generator_is_looked_at_again(self):
        data = TrainingData(generator())
        for rows in (1, 12, 7, 100):
            self.assertLen(data.sample(rows), min(rows, 20))

    def test_sequences_of_several_lengths(self):
        lengths = (3, 5, 3, 4)
        batches = [(np.ones((6, n, 2)), np.ones(6)) for n in lengths]
        data = TrainingData(batch for batch in batches)
        self.assertEqual(data.sample(100).shape, (12, 3, 2))

    @parameterized.parameters((1, None), (4, 1), (20, 4), (2000, 204))
    def test_held_out_of_a_dataset_of_unknown_length(self, batches, held):
        data = tf.data.Dataset.from_tensor_slices(np.arange(5 * batches))
        data = data.map(lambda x: (x, x)).filter(lambda x, y: True).batch(5)
        split = TrainingData(data).held_out(10)
        if held is None:
            self.assertIsNone(split)
            return
        training, held_out = split
        parts = [
            {int(x) for batch in part["x"] for x in batch[0]}
            for part in (training, held_out)
        ]
        self.assertLen(parts[1], 5 * held)
        self.assertNotEmpty(parts[0])
        self.assertTrue(parts[0].isdisjoint(parts[1]))

    def test_text_stays_text(self):
        text = tf.constant(["a", "b", "c", "d", "e"])
        training, held_out = TrainingData(text, Y[:5]).held_out(2)
        for part in (training, held_out):
            # Arrays of Python's strings would be equal, and Keras takes none.
            self.assertIsInstance(part["x"], tf.Tensor)
        self.assertEqual(held_out["x"].shape, (1,))

    def test_empty(self):
        self.assertEqual(TrainingData(X[:0], Y[:0]).first_batches(1), [])
        empty = tf.data.Dataset.from_tensor_slices((X[:0], Y[:0])).batch(2)
        self.assertEqual(TrainingData(empty).first_batches(1), [])

    def test_more_batches_of_arrays(self):
        weights = np.ones(20)
        data = TrainingData(X, Y, weights, batch_size=8)
        batches = list(data.batches(5, seed=3))
        self.assertLen(batches, 5)
        for x, y, weight in batches:
            self.assertEqual((x.shape[0], weight.shape[0]), (8, 8))
            np.testing.assert_array_equal(x, X[y])
        again = [y.tolist() for _, y, _ in data.batches(5, seed=3)]
        self.assertEqual(again, [y.tolist() for _, y, _ in batches])
        other = [y.tolist() for _, y, _ in data.batches(5, seed=4)]
        self.assertNotEqual(again, other)
        # An epoch does not repeat a row.
        first, second = again[:2]
        self.assertLen({*first, *second}, 16)

    def test_rows_that_are_split_off_are_not_used(self):
        data = TrainingData(X, Y, batch_size=5, validation_split=0.3)
        seen = [y for _, y in data.batches(6, seed=0)]
        self.assertEqual(set(np.concatenate(seen)), set(range(14)))
        np.testing.assert_array_equal(data.sample(100), X[:14])
        training, held_out = data.held_out(4)
        for part in (training, held_out):
            self.assertLess(part["y"].max(), 14)

    @parameterized.parameters("arrays", "dataset", "pydataset")
    def test_class_weights_count_in_more_batches(self, kind):
        weights = {class_: 1.0 + class_ for class_ in range(1, 20)}
        for y in (Y, Y[:, None], np.eye(20)):
            arguments = (X, y)
            if kind == "dataset":
                data = tf.data.Dataset.from_tensor_slices(arguments)
                arguments = (data.batch(5),)
            elif kind == "pydataset":
                arguments = (Batches(),)
            data = TrainingData(*arguments, batch_size=5, class_weight=weights)
            for x, _, found in data.batches(5, seed=0):
                expected = 1.0 + np.array(x)[:, 0] / 2
                np.testing.assert_array_equal(found, expected)

    @parameterized.parameters("dataset", "pydataset")
    def test_more_batches_start_again_at_the_end(self, kind):
        data = TrainingData(KINDS[kind]())
        labels = [np.array(y)[0] for _, y in data.batches(6, seed=0)]
        self.assertEqual(labels, [0, 5, 10, 15, 0, 5])

    def test_data_that_are_empty_when_read_again(self):
        elements = iter([(X[:5], Y[:5])] * 3)
        spec = (tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int64))
        data = tf.data.Dataset.from_generator(
            lambda: elements, output_signature=spec
        )
        self.assertLen(list(TrainingData(data).batches(9, 0)), 3)

    def test_a_generator_is_read_only_once(self):
        self.assertEqual(list(TrainingData(generator()).batches(3, 0)), [])

    def test_endless_dataset(self):
        data = TrainingData(Batches(endless=True))
        self.assertEqual(data.sample(7).shape, (7, 2))


class EvaluationBatchesTest(parameterized.TestCase):
    @parameterized.parameters("dataset", "pydataset")
    def test_batches(self, kind):
        batches = evaluation_batches(KINDS[kind]())
        self.assertLen(batches, 4)
        np.testing.assert_array_equal(batches[1][1], Y[5:10])

    @parameterized.parameters(tuple, list)
    def test_arrays(self, kind):
        x, y = np.zeros((2500, 3)), np.arange(2500)
        batches = evaluation_batches(kind((x, y)))
        self.assertEqual(
            [len(batch[1]) for batch in batches], [1024, 1024, 452]
        )
        joined = np.concatenate([batch[1] for batch in batches])
        np.testing.assert_array_equal(joined, y)

    def test_sample_weight_and_none(self):
        ((x, y, weight),) = evaluation_batches((X, Y, np.ones(20)))
        self.assertEqual(weight.shape, (20,))
        ((x, y),) = evaluation_batches((X, Y, None))
        self.assertEqual(y.shape, (20,))

    def test_empty(self):
        self.assertEqual(evaluation_batches((X[:0], Y[:0])), [])
        empty = tf.data.Dataset.from_tensor_slices((X[:0], Y[:0])).batch(2)
        self.assertEqual(evaluation_batches(empty), [])
