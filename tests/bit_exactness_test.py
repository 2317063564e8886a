"""Tests that no task ever changes, whatever is learned after it."""

import os
import subprocess
import sys
import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import TEST, begin, consolidate, digits, make_model, mlp
from tsn_keras.evaluation import BitExactness, hash_logits
from tsn_keras.sharing import ActivationSimilarity

OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "average": lambda: keras.optimizers.Adam(0.01, use_ema=True),
}
PROGRAM = """
import sys
import keras
from tests.bit_exactness_test import hash_all
for path in sys.argv[1:]:
    print(hash_all(keras.models.load_model(path)))
"""


def normalized_mlp():
    extra = [
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(24, activation="relu"),
    ]
    return mlp(extra=extra)


def convolutional():
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(8, 3, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def hash_all(model):
    names = sorted(model.bank.tasks)
    inputs = [digits(number, TEST)[0] for number in range(len(names))]
    return [
        hash_logits(model.predict(x, task=name, verbose=0, batch_size=256))
        for name, x in zip(names, inputs)
    ]


def hashes_in_another_process(paths):
    """Returns a line for each saved model."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *paths],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert not finished.returncode, finished.stderr
    lines = finished.stdout.splitlines()
    return [line for line in lines if line.startswith("['")]


class BitExactnessTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.saved = {}

    @classmethod
    def tearDownClass(cls):
        expected = [str(hashes) for hashes in cls.saved.values()]
        found = expected and hashes_in_another_process(list(cls.saved))
        assert found == expected, (expected, found)
        super().tearDownClass()

    def learn_and_verify(self, model, batch_sizes=(32, 50)):
        checks = BitExactness()
        for number, batch_size in enumerate(batch_sizes):
            begin(model, number, batch_size=batch_size)
            self.assertTrue(all(checks.verify(model).values()))
            consolidate(model, number)
            self.assertTrue(all(checks.verify(model).values()))
            x, _ = digits(number, TEST)
            checks.record(model, f"task {number}", x)
        hashes = hash_all(model)
        self.assertEqual(hashes, list(checks.hashes.values()))
        self.assertLen(set(hashes), len(batch_sizes))
        path = os.path.join(self.folder, f"{self.id()}.keras")
        model.save(path)
        self.assertEqual(hash_all(model), hashes)
        self.assertEqual(hash_all(keras.models.load_model(path)), hashes)
        self.saved[path] = hashes

    @parameterized.parameters(*OPTIMIZERS)
    def test_optimizers(self, name):
        optimizer = OPTIMIZERS[name]()
        self.learn_and_verify(make_model(normalized_mlp(), optimizer=optimizer))

    def test_shared_weights(self):
        sharing = ActivationSimilarity(threshold=1e9)
        model = make_model(normalized_mlp(), sharing=sharing)
        self.learn_and_verify(model, (16, 50, 32))
        self.assertEqual(model.bank.num_planes, 1)
        last = model.report("task 2")
        self.assertGreater(sum(last.shared.values()), 0)

    def test_convolutions(self):
        model = make_model(convolutional(), pruning="magnitude")
        self.learn_and_verify(model)

    def test_learned_scores(self):
        model = make_model(normalized_mlp(), pruning="scores")
        self.learn_and_verify(model)

    def test_float32_values(self):
        self.learn_and_verify(make_model(quantization=None))

    def test_consolidated_and_called_in_training_mode(self):
        model = make_model(normalized_mlp())
        begin(model)
        consolidate(model)
        self.assert_installs_what_it_stored(model)
        hashes = hash_all(model)
        model(digits(0, TEST)[0], training=True)
        self.assertEqual(hash_all(model), hashes)
        model.test_on_batch(*digits(0, TEST))
        with self.assertRaisesRegex(ValueError, "consolidated"):
            model.train_on_batch(*digits(0, TEST))
        self.assertEqual(hash_all(model), hashes)

    def assert_installs_what_it_stored(self, model):
        stored = model.bank.effective("task 0")
        for kernel, value in zip(model.switch.kernels, stored):
            np.testing.assert_array_equal(np.array(kernel.effective()), value)
        private = zip(model.switch.private, model.bank.private("task 0"))
        for variable, value in private:
            np.testing.assert_array_equal(np.array(variable), value)

    def test_a_switch_that_was_interrupted(self):
        model = make_model(normalized_mlp())
        for number in range(2):
            begin(model, number)
            consolidate(model, number)
        hashes = hash_all(model)
        install = model.switch.install_private
        with mock.patch.object(
            model.switch,
            "install_private",
            side_effect=[KeyboardInterrupt, mock.DEFAULT],
            wraps=install,
        ):
            with self.assertRaises(KeyboardInterrupt):
                model.switch.to("task 0")
        self.assertEqual(hash_all(model), hashes)

    def test_weights_that_are_set_stay_until_a_task_is_used(self):
        model = make_model(normalized_mlp())
        begin(model)
        consolidate(model)
        weights = model.get_weights()
        begin(model, 1)
        consolidate(model, 1)
        x, _ = digits(1, TEST)
        before = model.predict(x, task="task 1", verbose=0)
        model.set_weights(weights)
        after = model.predict(x, task="task 1", verbose=0)
        np.testing.assert_array_equal(after, before)
