"""A network computes with other values than those in its variables."""

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.lite import small_models
from tsn_keras.layers import SubnetDense, Subnetwork
from tsn_keras.lite.networks.run_with_values import run_with_values, task_values


def subnetworks_inside():
    return keras.Sequential(
        [
            keras.Input((20,)),
            SubnetDense(12, activation="relu"),
            layers.BatchNormalization(),
            Subnetwork(layers.Dense(8, activation="relu")),
        ]
    )


class RunWithValuesTest(parameterized.TestCase):
    @parameterized.parameters(small_models.dense_backbone, subnetworks_inside)
    def test_as_another_task_and_back(self, backbone):
        model = small_models.make_model(backbone(), tasks=2)
        x = small_models.random_inputs(model)
        expected = [model.predict(x, task=t, verbose=0) for t in model.tasks]
        with model.switch.reading("task 0"):
            values = task_values(model, "task 1")
            found = run_with_values(model, x, values)
            np.testing.assert_allclose(found, expected[1], atol=1e-6)
            np.testing.assert_allclose(model(x), expected[0], atol=1e-6)

    def test_the_task_is_at_work_again_after_an_error(self):
        model = small_models.make_model(tasks=1)
        x = small_models.random_inputs(model)
        with model.switch.reading("task 0"):
            expected = np.asarray(model(x))
            with self.assertRaises(ValueError):
                run_with_values(model, x[:, :3], task_values(model, "task 0"))
            np.testing.assert_array_equal(model(x), expected)
