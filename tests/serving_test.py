"""Tests of `export` for serving."""

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.digits_tasks import (
    TEST,
    TRAIN,
    begin,
    consolidate,
    digits,
    learn,
    logits,
    make_model,
)


class ServingTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "served")

    def test_serves_the_task_whatever_is_learned_meanwhile(self):
        model = make_model()
        learn(model, 0)
        begin(model, 1)
        model.export(self.path, task="task 0", verbose=False)
        expected = logits(model, 0)
        consolidate(model, 1)
        x, _ = digits(0, TEST)
        served = tf.saved_model.load(self.path)
        np.testing.assert_allclose(served.serve(x), expected, atol=1e-5)
        layer = keras.layers.TFSMLayer(self.path, call_endpoint="serve")
        np.testing.assert_allclose(layer(x[:3]), expected[:3], atol=1e-5)

    def test_several_inputs(self):
        left = keras.Input((32,), name="left")
        right = keras.Input((32,), name="right")
        features = keras.layers.concatenate(
            [keras.layers.Dense(16, "relu")(each) for each in (left, right)]
        )
        backbone = keras.Model({"left": left, "right": right}, features)
        model = make_model(backbone)
        model.add_task("a", keras.layers.Dense(10))
        x, y = digits(0, TRAIN)
        inputs = {"left": x[:, :32], "right": x[:, 32:]}
        model.fit(inputs, y, verbose=0)
        model.consolidate((inputs, y), verbose=0)
        model.export(self.path, verbose=False)
        served = tf.saved_model.load(self.path)
        found = served.serve({k: tf.constant(v) for k, v in inputs.items()})
        expected = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(found, expected, atol=1e-5)
