"""Tests of every way by which Keras and TensorFlow write or copy a model.

Each one brings all tasks back, or is refused.
"""

import functools
import os
import pathlib
import pickle
import tempfile
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.digits_tasks import (
    TRAIN,
    begin,
    digits,
    everything,
    fit,
    learn,
    make_model,
    mlp,
)

INPUTS = digits(0, slice(0, 5))[0]


@functools.cache
def learned(middle=False):
    """Returns a model with a task, and perhaps with another one begun."""
    model = copy_of(learned()) if middle else make_model(mlp(8))
    if middle:
        begin(model, 1, epochs=1)
    else:
        learn(model, 0, epochs=1)
    return model


def copy_of(model):
    return pickle.loads(pickle.dumps(model))


def held(model):
    """Returns what a model holds, to compare."""
    return model.tasks, model.bank.to_bytes(), np.asarray(model(INPUTS))


def with_heads(model):
    """Returns an untrained model that has the heads of another one."""
    other = make_model(mlp(8))
    for number, _ in enumerate(model.tasks):
        other.add_task(f"task {number}", head=keras.layers.Dense(10))
        other.discard_task()
    return other


def outer_model(model):
    inputs = keras.Input((64,))
    outputs = keras.layers.Softmax()(model(inputs))
    return keras.Model(inputs, [outputs])


class InFolder(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_same(self, loaded, model):
        np.testing.assert_equal(held(loaded), held(model))


class LegacyFilesTest(InFolder):
    @parameterized.parameters("x.h5", "x.hdf5", "x.weights.h5")
    def test_refused_before_anything_is_written(self, name):
        model = learned()
        path = self.path(name)
        for file in (path, pathlib.Path(path)):
            with self.assertRaisesRegex(ValueError, rf"\.keras.*{name}"):
                model.save(file)
        self.assertEmpty(os.listdir(self.folder))
        pathlib.Path(path).write_bytes(b"precious")
        for arguments in ({}, {"save_format": "h5"}, {"overwrite": False}):
            with (
                mock.patch("builtins.input", return_value="y"),
                self.assertRaisesRegex(ValueError, r"model\.keras"),
            ):
                model.save(path, **arguments)
        self.assertEqual(pathlib.Path(path).read_bytes(), b"precious")

    def test_refused_by_keras_functions_and_within_other_models(self):
        model = learned()
        for save in (keras.saving.save_model, keras.models.save_model):
            with self.assertRaisesRegex(ValueError, r"model\.keras"):
                save(model, self.path("x.h5"))
        outer = outer_model(model)
        with self.assertRaisesRegex(ValueError, r"model\.keras"):
            outer.save(self.path("outer.h5"))
        # The configuration is as before.
        self.assertNotIn("seal", model.get_config())

    def test_refused_in_a_checkpoint_callback(self):
        model = copy_of(learned())
        checkpoint = keras.callbacks.ModelCheckpoint(self.path("x.h5"))
        with self.assertRaisesRegex(ValueError, r"model\.keras"):
            begin(model, 1, epochs=1, callbacks=[checkpoint])
        self.assertEqual(model.bank.to_bytes(), learned().bank.to_bytes())

    def test_loading_weights(self):
        path = self.path("plain.h5")
        mlp(8).save(path)
        model = learned()
        before = held(model)
        with self.assertRaisesRegex(ValueError, r"weight bank.*plain\.h5"):
            model.load_weights(path)
        np.testing.assert_equal(held(model), before)

    def test_a_folder_may_have_any_name(self):
        model = learned()
        model.save(self.path("folder.h5"), zipped=False)
        loaded = keras.models.load_model(self.path("folder.h5"))
        self.check_same(loaded, model)


class OtherWaysTest(InFolder):
    def test_weights_of_plain_models(self):
        path = self.path("plain.weights.h5")
        mlp(8).save_weights(path)
        model = learned()
        before = held(model)
        with self.assertRaisesRegex(ValueError, "no weight bank"):
            model.load_weights(path)
        with self.assertRaisesRegex(ValueError, "no weight bank"):
            keras.saving.load_weights(model, path)
        np.testing.assert_equal(held(model), before)

    def test_checkpoints_of_tensorflow(self):
        model = learned()
        checkpoint = tf.train.Checkpoint(model=model)
        with self.assertRaisesRegex(ValueError, r"Checkpoint.*\.weights\.h5"):
            checkpoint.save(self.path("checkpoint"))
        plain = tf.train.Checkpoint(model=mlp(8)).save(self.path("plain"))
        with self.assertRaisesRegex(ValueError, "Checkpoint"):
            checkpoint.restore(plain)

    def test_trees_of_variables(self):
        """As `keras.callbacks.OrbaxCheckpoint` asks for."""
        model = learned()
        with self.assertRaisesRegex(ValueError, "`get_state_tree`.*bank"):
            model.get_state_tree(value_format="numpy_array")
        with self.assertRaisesRegex(ValueError, "`set_state_tree`.*bank"):
            model.set_state_tree({})

    @parameterized.parameters(False, True)
    def test_keras_own_functions(self, middle):
        model = learned(middle)
        path = self.path("model.keras")
        keras.saving.save_model(model, path)
        loaded = keras.saving.load_model(path)
        self.check_same(loaded, model)
        self.assertEqual(everything(loaded), everything(model))
        weights = self.path("model.weights.h5")
        keras.saving.save_weights(model, weights)
        other = with_heads(model)
        keras.saving.load_weights(other, weights)
        self.check_same(other, model)

    @parameterized.parameters(False, True)
    def test_shards(self, middle):
        model = learned(middle)
        path = self.path("model.weights.json")
        model.save_weights(path, max_shard_size=3e-6)
        self.assertGreater(len(os.listdir(self.folder)), 1 + 2 * middle)
        other = with_heads(model)
        other.load_weights(path)
        self.check_same(other, model)

    def test_copies_without_tasks(self):
        model = learned()
        weights = self.path("model.weights.h5")
        model.save_weights(weights)
        text = model.to_json()
        for copy in (
            keras.models.clone_model(model),
            keras.models.model_from_json(text),
            type(model).from_config(model.get_config()),
        ):
            self.assertEqual(copy.tasks, ())
            self.assertEqual(copy.heads.count, 1)
            keras.saving.load_weights(copy, weights)
            self.check_same(copy, model)

    @parameterized.parameters(False, True)
    def test_models_within_models(self, middle):
        model = learned(middle)
        outer = outer_model(model)
        expected = outer(INPUTS)
        outer.save(self.path("outer.keras"))
        loaded = keras.models.load_model(self.path("outer.keras"))
        self.check_same(loaded.layers[1], model)
        np.testing.assert_array_equal(loaded(INPUTS), expected)
        self.check_same(copy_of(outer).layers[1], model)
        outer.save_weights(self.path("outer.weights.h5"))
        loaded.load_weights(self.path("outer.weights.h5"))
        self.check_same(loaded.layers[1], model)

    def test_a_task_of_a_model_that_is_not_built(self):
        model = make_model(keras.Sequential([keras.layers.Dense(8)]))
        head = keras.layers.Dense(10)
        head.build((None, 8))
        model.add_task("task 0", head)
        model.save(self.path("model.keras"))
        loaded = keras.models.load_model(self.path("model.keras"))
        self.assertEqual(loaded.tasks, ("task 0",))
        np.testing.assert_array_equal(loaded.heads.head.kernel, head.kernel)
        fit(loaded, steps_per_epoch=1, epochs=1)

    def test_checkpoints_of_keras(self):
        model = copy_of(learned())
        best, weights = self.path("best.keras"), self.path("x.weights.h5")
        checkpoint = keras.callbacks.ModelCheckpoint
        begin(
            model,
            1,
            epochs=1,
            validation_data=digits(1, TRAIN),
            callbacks=[
                checkpoint(best, save_best_only=True),
                checkpoint(weights, save_weights_only=True),
                keras.callbacks.BackupAndRestore(
                    self.path("backup"), delete_checkpoint=False
                ),
            ],
        )
        self.check_same(keras.models.load_model(best), model)
        for path in (weights, self.path("backup/latest.weights.h5")):
            other = with_heads(model)
            other.load_weights(path)
            self.check_same(other, model)
