"""Tests that learning goes on where a saved file left it, to the byte."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from absl.testing import parameterized
from sklearn.datasets import load_digits

from tests.digits_tasks import (
    VALIDATION,
    begin,
    consolidate,
    digits,
    everything,
    fit,
    learn,
    make_model,
    mlp,
    reloaded,
)
from tsn_keras.evaluation import hash_logits
from tsn_keras.scenarios import ImageData, PermutedPixels
from tsn_keras.sharing import ActivationSimilarity
from tsn_keras.tasks.training import training_variables

PROGRAM = """
import sys
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from tests.saving import resume_test
folder, *modes = sys.argv[1:]
for mode in modes:
    resume_test.run(mode, folder)
"""


def dropout_mlp():
    extra = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)]
    return mlp(extra=[*extra, keras.layers.Dense(24, activation="relu")])


def scenario():
    images = np.uint8(load_digits().images[:600, ..., None] * 15)
    labels = load_digits().target[:600]
    train, test = slice(0, 500), slice(500, 600)
    data = ImageData(
        (images[train], labels[train]), (images[test], labels[test])
    )
    return PermutedPixels(data, num_tasks=3, batch_size=32, seed=3)


def dropout_head():
    return keras.Sequential([keras.layers.Dropout(0.2), keras.layers.Dense(10)])


def learn_dataset(model, number):
    task = scenario()[number]
    model.add_task(task.name, head=dropout_head())
    model.fit(task.train, validation_data=task.validation, epochs=2, verbose=0)
    model.consolidate(task.validation, verbose=0)


def run(mode, folder):
    """Learns some tasks, or the first part of them, or the rest.

    Prints the hash of the bank of each kind.
    """
    kinds = {"dataset": run_dataset, "middle": run_middle}
    hashes = {}
    for kind, run_kind in kinds.items():
        # The global random numbers of two sessions differ.
        keras.utils.set_random_seed(77 if mode == "rest" else 5)
        model = run_kind(mode, os.path.join(folder, f"{kind}.keras"))
        bank = np.frombuffer(model.bank.to_bytes(), np.uint8)
        hashes[kind] = hash_logits(bank)
    print(json.dumps(hashes))


def run_dataset(mode, path):
    """Learns two tasks; the session ends between them."""
    if mode == "rest":
        model = keras.models.load_model(path)
    else:
        sharing = ActivationSimilarity(1.0)
        model = make_model(dropout_mlp(), pruning="scores", sharing=sharing)
    if mode == "first":
        model.save(path)
        model = keras.models.load_model(path)
    if mode != "rest":
        learn_dataset(model, 0)
    if mode == "first":
        model.save(path)
    else:
        learn_dataset(model, 1)
    return model


def run_middle(mode, path):
    """Learns three tasks; the session ends between the second's two fits."""
    if mode == "rest":
        model = keras.models.load_model(path)
    else:
        model = make_model(dropout_mlp(), sharing="always")
        learn(model, 0)
        begin(model, 1)
    if mode == "first":
        model.save(path)
    else:
        fit(model, 1, batch_size=50)
        consolidate(model, 1)
        learn(model, 2)
    return model


def hashes_of(folder, *modes):
    """Returns what a process printed for each mode."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder, *modes],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert not finished.returncode, finished.stderr
    lines = finished.stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


class OtherProcessTest(parameterized.TestCase):
    def test_the_same_bank_byte_for_byte(self):
        with tempfile.TemporaryDirectory() as folder:
            (first,) = hashes_of(folder, "first")
            whole, resumed = hashes_of(folder, "whole", "rest")
        self.assertEqual(resumed, whole)
        hashes = [*first.values(), *whole.values()]
        self.assertLen(set(hashes), 4)


@functools.cache
def in_the_second_task():
    """Returns a model that trains, for tests that only save it."""
    model = make_model()
    learn(model, 0)
    begin(model, 1)
    return model


class MiddleOfATaskTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "model.keras")

    @parameterized.parameters(("magnitude", "always"), ("scores", "never"))
    def test_everything_comes_back(self, pruning, sharing):
        model = make_model(dropout_mlp(), pruning=pruning, sharing=sharing)
        learn(model, 0)
        begin(model, 1)
        loaded = reloaded(model)
        self.assertEqual(loaded.tasks, ("task 0", "task 1"))
        found = training_variables(loaded)
        for kind, variables in training_variables(model).items():
            self.assertEqual(len(variables), len(found[kind]), kind)
            for one, other in zip(variables, found[kind]):
                np.testing.assert_array_equal(np.array(one), np.array(other))
        ours, theirs = model.running_task, loaded.running_task
        self.assertEqual(ours.to_json(), theirs.to_json())
        for one, other in zip(ours.masks, theirs.masks):
            np.testing.assert_array_equal(one.mask, other.mask)
            np.testing.assert_array_equal(one.available, other.available)
            np.testing.assert_array_equal(one.frozen, other.frozen)
            np.testing.assert_array_equal(one.owned, other.owned)
        self.assertEqual(everything(model), everything(loaded))
        x, _ = digits(1, VALIDATION)
        np.testing.assert_array_equal(
            model.predict(x, verbose=0), loaded.predict(x, verbose=0)
        )

    def test_consolidate_at_once(self):
        loaded = reloaded(in_the_second_task())
        report = consolidate(loaded, 1)
        self.assertEqual(loaded.tasks, ("task 0", "task 1"))
        self.assertGreater(report.quality_before, 0.3)

    def test_without_training(self):
        model = make_model()
        learn(model, 0)
        model.add_task("task 1", head=keras.layers.Dense(10))
        loaded = reloaded(model)
        self.assertEqual(loaded.tasks, ("task 0", "task 1"))
        with self.assertRaisesRegex(ValueError, "has not been trained"):
            consolidate(loaded, 1)
        fit(loaded, 1)
        consolidate(loaded, 1)
        self.assertEqual(loaded.tasks, ("task 0", "task 1"))

    def test_given_head_weights_are_kept(self):
        model = make_model()
        head = keras.layers.Dense(10)
        head.build((None, 32))
        given = np.array(head.kernel)
        model.add_task("task 0", head=head)
        loaded = reloaded(model)
        np.testing.assert_array_equal(loaded.heads.head.kernel, given)
        fit(loaded, epochs=1, steps_per_epoch=1)
        moved = np.abs(np.array(loaded.heads.head.kernel) - given).max()
        self.assertLess(moved, 0.05)

    def test_the_next_task_has_a_fresh_optimizer(self):
        model = make_model()
        begin(model)
        loaded = reloaded(model)
        for one in (model, loaded):
            fit(one)
            consolidate(one)
            begin(one, 1, epochs=1)
            self.assertEqual(int(one.optimizer.iterations), 13)
            momentum, *_ = [
                variable
                for variable in one.optimizer.variables
                if variable.path.endswith("momentum")
            ]
            self.assertGreater(np.abs(np.array(momentum)).max(), 0)

    def test_pretrained_backbone_before_any_task(self):
        model = make_model()
        before = np.array(model.switch.kernels[0].kernel)
        loaded = reloaded(model)
        after = np.array(loaded.switch.kernels[0].kernel)
        np.testing.assert_array_equal(before, after)

    def test_a_backbone_without_input_shape(self):
        backbone = keras.Sequential([keras.layers.Dense(16)])
        model = make_model(backbone)
        model = reloaded(model)
        learn(model, 0)
        begin(model, 1)
        loaded = reloaded(model)
        fit(loaded, 1)
        consolidate(loaded, 1)
        self.assertEqual(loaded.tasks, ("task 0", "task 1"))

    def test_uncompiled(self):
        model = in_the_second_task()
        model.save(self.path)
        loaded = keras.models.load_model(self.path, compile=False)
        self.assertEqual(everything(model), everything(loaded))
        with self.assertRaisesRegex(ValueError, "compile"):
            consolidate(loaded, 1)
        with self.assertRaisesRegex(ValueError, "compile"):
            fit(loaded, 1)

    def test_model_checkpoint(self):
        path = pathlib.Path(self.path)
        checkpoint = keras.callbacks.ModelCheckpoint(path)
        model = make_model()
        learn(model, 0)
        begin(model, 1, callbacks=[checkpoint])
        loaded = keras.models.load_model(path)
        fit(loaded, 1)
        consolidate(loaded, 1)
        self.assertEqual(everything(loaded)[1][0], everything(model)[1][0])

    def test_weights_that_a_callback_brought_back(self):
        """The schedule has not ended, and the masks are of other weights."""

        class BringBack(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                kernel = self.model.switch.kernels[0].kernel
                self.first = self.first if epoch else np.array(kernel)
                self.model.stop_training = epoch == 2

            def on_train_end(self, logs=None):
                kernel = self.model.switch.kernels[0].kernel
                kernel.assign(self.first)

        model = make_model()
        begin(model, epochs=9, callbacks=[BringBack()])
        loaded = reloaded(model)
        for one in (model, loaded):
            fit(one)
            consolidate(one)
        self.assertEqual(everything(loaded), everything(model))
