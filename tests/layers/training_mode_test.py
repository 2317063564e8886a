"""Tests of layers that train in another way for a while."""

from concurrent import futures

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tsn_keras.layers import with_quick_averages, without_noise

KINDS = {
    "Dropout": lambda: layers.Dropout(0.5, seed=1),
    "SpatialDropout1D": lambda: layers.SpatialDropout1D(0.5, seed=1),
    "AlphaDropout": lambda: layers.AlphaDropout(0.5, seed=1),
    "GaussianDropout": lambda: layers.GaussianDropout(0.5, seed=1),
    "GaussianNoise": lambda: layers.GaussianNoise(0.5, seed=1),
}
X = np.random.default_rng(0).standard_normal((8, 6, 4)).astype(np.float32)


class WithoutNoiseTest(parameterized.TestCase):
    @parameterized.parameters(*KINDS)
    def test_rests_and_comes_back(self, kind):
        inner = keras.Sequential([keras.Input((6, 4)), KINDS[kind]()])
        model = keras.Sequential([keras.Input((6, 4)), inner])
        with without_noise(model):
            np.testing.assert_array_equal(model(X, training=True), X)
        self.assertGreater(np.abs(model(X, training=True) - X).max(), 0.1)

    def test_comes_back_after_an_error(self):
        layer = layers.Dropout(0.5)
        with self.assertRaises(KeyError):
            with without_noise(keras.Sequential([layer])):
                raise KeyError
        self.assertGreater(np.abs(layer(X, training=True) - X).max(), 0.1)

    def test_another_thread_has_its_noise(self):
        layer = layers.Dropout(0.5, seed=1)
        model = keras.Sequential([keras.Input((6, 4)), layer])
        with without_noise(model), futures.ThreadPoolExecutor(1) as other:
            found = other.submit(lambda: model(X, training=True)).result()
            np.testing.assert_array_equal(model(X, training=True), X)
        self.assertGreater(np.abs(found - X).max(), 0.1)
        self.assertEqual(layer.rate, 0.5)

    def test_layers_that_ask_for_noise_themselves(self):
        class Always(layers.Dropout):
            def call(self, inputs, training=False):
                return 2 * super().call(inputs, training=True)

        model = keras.Sequential([keras.Input((6, 4)), Always(0.5)])
        with without_noise(model):
            np.testing.assert_array_equal(model(X), 2 * X)

    def test_batch_normalization_stays_in_training_mode(self):
        model = keras.Sequential(
            [keras.Input((6, 4)), layers.BatchNormalization()]
        )
        with without_noise(model):
            found = model(5 * X + 3, training=True)
        np.testing.assert_allclose(np.std(found, (0, 1)), 1.0, atol=0.01)
        self.assertGreater(np.abs(model.layers[0].moving_mean).max(), 0.0)


class QuickAveragesTest(parameterized.TestCase):
    @parameterized.parameters((0.99, 0.95), (0.9, 0.9))
    def test_moving_averages_follow(self, momentum, expected):
        layer = layers.BatchNormalization(momentum=momentum)
        model = keras.Sequential([keras.Input((6, 4)), layer])
        with with_quick_averages(model):
            model(np.full((8, 6, 4), 10.0), training=True)
        np.testing.assert_allclose(
            layer.moving_mean, 10 * (1 - expected), rtol=1e-4
        )
        self.assertEqual(layer.momentum, momentum)
