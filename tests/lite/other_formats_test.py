"""SavedModels, ONNX files and others of one task."""

import importlib.util
import os
import pathlib
import tempfile
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.digits_tasks import (
    TEST,
    begin,
    digits,
    learn,
    logits,
    make_model,
    mlp,
)


class OtherFormatsTest(absltest.TestCase):
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


if __name__ == "__main__":
    absltest.main()
