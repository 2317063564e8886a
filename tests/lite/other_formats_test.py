"""SavedModels, ONNX files and others of one task."""

import importlib.util
import os
import pathlib
import tempfile
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

from tests.digits_tasks import (
    TEST,
    begin,
    digits,
    learn,
    logits,
    make_model,
    mlp,
)
from tests.lite import small_models


class OtherFormatsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(mlp(extra=[keras.layers.BatchNormalization()]))
        learn(cls.model, 0)
        learn(cls.model, 1)
        begin(cls.model, 2)

    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.folder, "task.tflite")

    def export(self, task, path=None, format="litert"):
        self.model.export(
            path or self.path, format=format, task=task, verbose=False
        )

    def test_a_failing_export_leaves_nothing_behind(self):
        before = logits(self.model, 0)
        with self.assertRaises(Exception):
            self.export("task 0", format="no format")
        self.assertEqual(os.listdir(self.folder), [])
        np.testing.assert_array_equal(logits(self.model, 0), before)

    def test_onnx(self):
        path = os.path.join(self.folder, "task.onnx")
        if importlib.util.find_spec("tf2onnx"):
            self.export("task 0", path, "onnx")
            self.assertGreater(os.path.getsize(path), 1000)
            return
        with self.assertRaisesRegex(ImportError, "pip install onnx tf2onnx"):
            self.export("task 0", path, "onnx")
        self.assertEqual(os.listdir(self.folder), [])

    def test_formats_of_several_files(self):
        def two_files(model, path, **arguments):
            for suffix in (".xml", ".bin"):
                pathlib.Path(path).with_suffix(suffix).write_text(suffix)

        path = os.path.join(self.folder, "task.xml")
        with mock.patch.object(keras.Model, "export", two_files):
            self.export("task 0", path, "openvino")
        self.assertCountEqual(os.listdir(self.folder), ["task.bin", "task.xml"])

    def test_saved_model_twice(self):
        path = os.path.join(self.folder, "saved")
        for task in ("task 0", "task 1"):
            self.export(task, path, "tf_saved_model")
        x, _ = digits(1, TEST)
        loaded = tf.saved_model.load(path)
        np.testing.assert_allclose(
            loaded.serve(x), logits(self.model, 1), rtol=1e-5, atol=1e-5
        )
        self.assertEqual(os.listdir(self.folder), ["saved"])

    def test_a_saved_model_holds_the_task_and_nothing_else(self):
        path = os.path.join(self.folder, "saved")
        self.export("task 0", path, "tf_saved_model")
        bank = self.model.bank
        values = bank.effective("task 0") + bank.private("task 0")
        variables = os.path.join(path, "variables", "variables")
        stored = tf.train.list_variables(variables)
        sizes = [np.prod(shape, dtype=int) for _, shape in stored if shape]
        # Keras stores every variable twice.
        self.assertEqual(sum(sizes), 2 * sum(value.size for value in values))

    def test_what_is_looked_up_comes_along(self):
        texts = np.array([["good film"], ["bad film"], ["great fun"]])
        words = keras.layers.TextVectorization(20, output_sequence_length=3)
        words.adapt(texts)
        backbone = [
            keras.Input((1,), dtype="string"),
            words,
            keras.layers.Embedding(20, 8),
            keras.layers.GlobalAveragePooling1D(),
        ]
        model = small_models.make_model(keras.Sequential(backbone))
        self.compare(model, tf.constant(texts))

    @parameterized.parameters("mixed_float16", "mixed_bfloat16")
    def test_other_dtypes(self, policy):
        self.addCleanup(keras.config.set_dtype_policy, "float32")
        keras.config.set_dtype_policy(policy)
        model = small_models.make_model()
        self.compare(model, small_models.random_inputs(model))

    def test_layers_that_are_always_random(self):
        class Noise(keras.layers.GaussianNoise):
            def call(self, inputs, training=False):
                return super().call(inputs, training=True)

        hidden = [keras.Input((20,)), Noise(0.5), keras.layers.Dense(8)]
        model = small_models.make_model(keras.Sequential(hidden))
        path = os.path.join(self.folder, "saved")
        model.export(path, task="task 0", verbose=False)
        served = tf.saved_model.load(path)
        x = small_models.random_inputs(model)
        difference = served.serve(x) - served.serve(x)
        self.assertGreater(np.abs(difference).max(), 0.01)

    def compare(self, model, x):
        path = os.path.join(self.folder, "saved")
        for task in model.tasks:
            model.export(path, task=task, verbose=False)
            served = tf.saved_model.load(path)
            found = served.serve(x).numpy()
            expected = model.predict(x, task=task, verbose=0)
            self.assertEqual(found.dtype, expected.dtype)
            np.testing.assert_array_equal(found, expected)


if __name__ == "__main__":
    absltest.main()
