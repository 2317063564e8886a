"""Tests that learning goes on where a saved file left it, to the byte."""

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
resume_test.run(sys.argv[1], sys.argv[2])
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


def learn_arrays(model, number):
    model.add_task(f"task {number}", head=dropout_head())
    fit(model, number)
    consolidate(model, number)


def learn_dataset(model, number):
    task = scenario()[number]
    model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
    model.fit(task.train, validation_data=task.validation, epochs=2, verbose=0)
    model.consolidate(task.validation, verbose=0)


KINDS = {
    "arrays": (
        learn_arrays,
        lambda: make_model(mlp(16), sharing=ActivationSimilarity(1.0)),
    ),
    "dataset": (
        learn_dataset,
        lambda: make_model(dropout_mlp(), pruning="scores"),
    ),
}
# In the middle of a task: after one of its two fits.
MIDDLE = "middle"


def run(mode, folder):
    """Learns two tasks of each kind, or the first or the second of them.

    Prints the hash of the bank at the end of each kind.
    """
    hashes = {}
    for kind, (learn_task, make) in KINDS.items():
        path = os.path.join(folder, f"{kind}.keras")
        # The global random numbers of two sessions differ.
        keras.utils.set_random_seed(5)
        model = make()
        numbers = range(2)
        if mode == "first":
            model.save(path)
            model = keras.models.load_model(path)
            numbers = range(1)
        elif mode == "rest":
            keras.utils.set_random_seed(77)
            model = keras.models.load_model(path)
            numbers = range(1, 2)
        for number in numbers:
            learn_task(model, number)
        if mode == "first":
            model.save(path)
        bank = np.frombuffer(model.bank.to_bytes(), np.uint8)
        hashes[kind] = hash_logits(bank)
    hashes[MIDDLE] = run_middle(mode, os.path.join(folder, "middle.keras"))
    print(json.dumps(hashes))


def run_middle(mode, path):
    """Learns three tasks; the session ends between the second's two fits."""
    keras.utils.set_random_seed(5)
    if mode != "rest":
        model = make_model(dropout_mlp(), sharing="always")
        learn(model, 0)
        begin(model, 1)
    if mode == "first":
        model.save(path)
        return None
    if mode == "rest":
        model = keras.models.load_model(path)
    fit(model, 1, batch_size=50)
    consolidate(model, 1)
    learn(model, 2)
    return hash_logits(np.frombuffer(model.bank.to_bytes(), np.uint8))


def start(mode, folder):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mode, folder],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    output, errors = process.communicate()
    assert not process.returncode, errors
    return json.loads(output.splitlines()[-1])


class OtherProcessTest(parameterized.TestCase):
    def test_the_same_bank_byte_for_byte(self):
        with tempfile.TemporaryDirectory() as folder:
            whole = start("whole", folder)
            result(start("first", folder))
            resumed = result(start("rest", folder))
            self.assertEqual(resumed, result(whole))
        self.assertLen(set(resumed.values()), len(resumed))


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
        model = make_model()
        begin(model)
        loaded = reloaded(model)
        report = consolidate(loaded)
        self.assertEqual(loaded.tasks, ("task 0",))
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
        model = make_model()
        learn(model, 0)
        begin(model, 1)
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
