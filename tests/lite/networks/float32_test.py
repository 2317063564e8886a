"""Models of mixed precision become files that compute in float32."""

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite.networks.float32 import in_float32

layers = keras.layers


@keras.saving.register_keras_serializable(package="tests")
class OwnBackbone(keras.Model):
    """A subclass, which no file can tell the layers of."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.first = layers.Dense(12, activation="relu")
        self.second = layers.Dense(9)

    def call(self, inputs):
        return self.second(self.first(inputs))


@keras.saving.register_keras_serializable(package="tests")
class Forgetful(layers.Layer):
    """Has a state that its configuration does not hold."""

    def __init__(self, factor=1.0, **arguments):
        super().__init__(**arguments)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return {"name": self.name}


def sequential():
    return keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(12, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(9, activation="relu", dtype="float32"),
        ]
    )


def functional():
    inputs = keras.Input((20,))
    x = layers.Dense(12, activation="relu")(inputs)
    x = layers.Add()([x, layers.Dense(12)(inputs)])
    return keras.Model(inputs, keras.ops.relu(x))


BACKBONES = {
    "sequential": sequential,
    "functional": functional,
    "subclassed": OwnBackbone,
    "thin forms": lambda: keras.Sequential(
        [keras.Input((20,)), tsn_keras.layers.SubnetDense(12)]
    ),
}


class InFloat32Test(LiteTestCase):
    def make(self, policy, backbone=sequential, heads=None, **arguments):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        self.addCleanup(keras.config.set_dtype_policy, before)
        model = tsn_keras.ContinualModel(backbone(), sharing=None)
        if model.bank is None:
            model.build((None, 20))
        # In float32 two of them are one.
        heads = heads or [
            layers.Dense(4),
            layers.Dense(4, dtype="float32"),
            layers.Dense(3, activation="softmax"),
        ]
        for number, head in enumerate(heads):
            small_models.add_random_task(model, number, head, **arguments)
        return model

    @parameterized.product(
        policy=("mixed_float16", "mixed_bfloat16"), backbone=list(BACKBONES)
    )
    def test_files(self, policy, backbone):
        model = self.make(policy, BACKBONES[backbone])
        other = in_float32(model)
        self.assertIsNot(other, model)
        self.assertEqual(keras.config.dtype_policy().name, policy)
        x = small_models.random_inputs(model)
        lite.export_bundle(model, self.folder / "all.tflite")
        runner = lite.TaskRunner(self.folder / "all.tflite")
        for task in model.tasks:
            expected = other.predict(x, task=task, verbose=0)
            self.assertEqual(expected.dtype, "float32")
            near = np.float32(model.predict(x, task=task, verbose=0))
            np.testing.assert_allclose(near, expected, rtol=0.1, atol=0.1)
            lite.export_task(model, self.path, task)
            names = [name for name, _ in lite.operators(self.path.read_bytes())]
            self.assertNotIn("CAST", names)
            for found in (
                lite.run_file(self.path, x),
                runner.predict(x, task=task),
            ):
                np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_dead_units_are_left_out(self):
        model = self.make("mixed_float16", heads=[layers.Dense(4)], kept=0.05)
        report = lite.export_task(model, self.path)
        self.assertNotEmpty(report.removed_units)
        names = [name for name, _ in lite.operators(self.path.read_bytes())]
        self.assertNotIn("CAST", names)

    def test_frozen_weights(self):
        def backbone():
            frozen = layers.Dense(12, activation="relu", trainable=False)
            return keras.Sequential(
                [keras.Input((20,)), frozen, layers.Dense(9)]
            )

        model = self.make("mixed_bfloat16", backbone, [layers.Dense(4)])
        lite.export_task(model, self.path)

    def test_a_model_in_float32_stays_itself(self):
        model = self.make("float32")
        self.assertIs(in_float32(model), model)

    def test_a_dense_network_to_compare_with(self):
        model = self.make("mixed_float16")
        lite.export_dense(model, self.path)
        names = [name for name, _ in lite.operators(self.path.read_bytes())]
        self.assertNotIn("CAST", names)

    def test_a_model_that_would_compute_something_else_is_refused(self):
        def backbone():
            stages = [layers.Dense(9), Forgetful(5.0)]
            return keras.Sequential([keras.Input((20,)), *stages])

        model = self.make("mixed_float16", backbone)
        with self.assertRaisesRegex(lite.ExportError, "more than rounding"):
            lite.export_task(model, self.path, "task 0")
        with self.assertRaisesRegex(lite.ExportError, "more than rounding"):
            lite.export_bundle(model, self.path)
        self.assertFalse(self.path.exists())
