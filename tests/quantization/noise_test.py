"""Tests that noise rests, and only noise, and only for a while."""

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import consolidate, everything, fit, make_model, mlp
from tsn_keras.quantization import without_noise

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
                self.assertEqual(layer.rate, 0.0)
                raise KeyError
        self.assertEqual(layer.rate, 0.5)

    def test_batch_normalization_stays_in_training_mode(self):
        model = keras.Sequential(
            [keras.Input((6, 4)), layers.BatchNormalization()]
        )
        with without_noise(model):
            found = model(5 * X + 3, training=True)
        np.testing.assert_allclose(np.std(found, (0, 1)), 1.0, atol=0.01)
        self.assertGreater(np.abs(model.layers[0].moving_mean).max(), 0.0)

    @parameterized.parameters("backbone", "head")
    def test_fine_tuning_is_without_noise(self, where):
        found = []
        for rate in (0.0, 0.9):
            keras.utils.set_random_seed(0)
            noise = layers.Dropout(0.9, seed=1)
            noise.rate = 0.0
            head = layers.Dense(10)
            if where == "head":
                head = keras.Sequential([noise, head])
            model = make_model(mlp(extra=[noise] if where != "head" else []))
            model.add_task("task 0", head)
            fit(model)
            # What is traced from here on would drop most units.
            noise.rate = rate
            report = consolidate(model)
            self.assertEqual(noise.rate, rate)
            found.append(everything(model))
            self.assertNotEqual(report.quality_before, report.quality_after)
        self.assertEqual(*found)
