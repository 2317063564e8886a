"""Tests of backbones that hold preprocessing layers, as Keras' guides do."""

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import (
    TRAIN,
    begin,
    consolidate,
    digits,
    learn,
    make_model,
)
from tsn_keras import lite

X, Y = digits(0, TRAIN)
FAR_X = 50 * X + 3
TEXTS = np.array([["good film"], ["bad film"], ["great fun"], ["bad bore"]])
POSITIVE = np.array([1, 0, 1, 0])


def normalized():
    normalization = layers.Normalization()
    normalization.adapt(FAR_X)
    return keras.Sequential(
        [keras.Input((64,)), normalization, layers.Dense(16, "relu")]
    )


def of_texts():
    words = layers.TextVectorization(20, output_sequence_length=3)
    words.adapt(TEXTS)
    return keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            words,
            layers.Embedding(20, 8),
            layers.GlobalAveragePooling1D(),
        ]
    )


def binned():
    bins = layers.Discretization(num_bins=4, output_mode="multi_hot")
    bins.adapt(X)
    return keras.Sequential([keras.Input((64,)), bins, layers.Dense(8, "relu")])


CASES = {
    "normalization": (normalized, FAR_X, Y),
    "texts": (of_texts, keras.ops.convert_to_tensor(TEXTS), POSITIVE),
    "bins": (binned, X, Y),
}


class AdaptedLayersTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "model.keras")

    def learn(self, model, name, x, y):
        model.add_task(name, layers.Dense(10))
        model.fit(x, y, verbose=0)
        model.consolidate((x, y), verbose=0)
        return model.predict(x, task=name, verbose=0)

    @parameterized.parameters(*CASES)
    def test_what_they_found_is_kept(self, case):
        backbone, x, y = CASES[case]
        model = make_model(backbone())
        expected = {name: self.learn(model, name, x, y) for name in "ab"}
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        for one in (model, loaded):
            for name, value in expected.items():
                found = one.predict(x, task=name, verbose=0)
                self.assertEqual(found.tobytes(), value.tobytes())
        self.learn(loaded, "c", x, y)

    def test_text_and_files(self):
        model = make_model(of_texts())
        texts = keras.ops.convert_to_tensor(TEXTS)
        self.learn(model, "a", texts, POSITIVE)
        path = self.path + ".tflite"
        for data in (None, texts):
            with self.assertRaisesRegex(
                lite.ExportError,
                r"takes text, in 'text_vectorization.*\(TextVectorization\)"
                ".*tf_saved_model.*vectorization",
            ):
                model.export(path, format="litert", verification_data=data)
        with self.assertRaisesRegex(lite.ExportError, "takes text"):
            lite.export_bundle(model, path)
        # The advice.
        model.export(self.path + ".saved", format="tf_saved_model")
        saved = tf.saved_model.load(self.path + ".saved")
        np.testing.assert_allclose(
            saved.serve(texts), model.predict(texts, verbose=0), atol=1e-6
        )
        words, *behind = model.backbone.layer.layers
        inputs = keras.Input((3,), dtype="int64")
        behind = keras.models.clone_model(
            keras.Sequential([inputs, *behind])
        )
        model = make_model(behind)
        numbers = np.asarray(words(texts))
        self.learn(model, "a", numbers, POSITIVE)
        report = model.export(path, format="litert", verification_data=numbers)
        self.assertTrue(report.agreement.predictions_equal)

    @parameterized.parameters("before a task", "in a task")
    def test_a_saved_start_knows_them(self, moment):
        model = make_model(normalized())
        if moment == "in a task":
            model.add_task("a", layers.Dense(10))
            model.fit(FAR_X, Y, verbose=0)
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        np.testing.assert_array_equal(
            *(one.backbone.layer.layers[0](FAR_X) for one in (model, loaded))
        )

    def test_statistics_are_stored_once(self):
        model = make_model(normalized())
        for number in range(2):
            learn(model, number)
        weights = model.backbone.layer.layers[0].weights
        base = sum(np.asarray(weight).nbytes for weight in weights)
        self.assertEqual(model.capacity().bytes["base"], base)

    def test_lambda_layers(self):
        backbone = keras.Sequential(
            [
                keras.Input((64,)),
                layers.Lambda(lambda inputs: 2.0 * inputs),
                layers.Dense(16, "relu"),
            ]
        )
        model = make_model(backbone)
        learn(model, 0)
        begin(model, 1)
        consolidate(model, 1)
        model.save(self.path)
        with self.assertRaisesRegex(ValueError, "safe_mode=False"):
            keras.models.load_model(self.path)
        loaded = keras.models.load_model(self.path, safe_mode=False)
        self.assertEqual(loaded.bank.to_bytes(), model.bank.to_bytes())
