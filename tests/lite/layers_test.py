"""Every layer that the package covers, in task files and in bundles."""

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.layers import SubnetDense, Subnetwork


def chain(shape, *stages, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stages])


def residual():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    y = layers.Add()([x, layers.BatchNormalization()(y)])
    y = layers.Conv2D(6, 3, activation="relu")(layers.ReLU()(y))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(y))


def attention():
    inputs = keras.Input((5, 8))
    x = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([inputs, x]))
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def convolutions():
    return chain(
        (10, 10, 3),
        layers.Conv2D(8, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Conv2D(6, 3, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(12, activation="relu"),
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(16, activation="relu")
        self.second = layers.Dense(8, activation="tanh")

    def call(self, inputs):
        return self.second(self.first(inputs))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 8)


BACKBONES = {
    "dense": small_models.dense_backbone,
    "subclassed": Subclassed,
    "subnetworks_inside": lambda: chain(
        (20,),
        SubnetDense(16, activation="relu"),
        layers.BatchNormalization(),
        Subnetwork(layers.Dense(8, activation="relu")),
    ),
    "convolutions": convolutions,
    "residual": residual,
    "depthwise": lambda: chain(
        (8, 8, 4),
        layers.DepthwiseConv2D(3, activation="relu"),
        layers.SeparableConv2D(8, 3, activation="relu"),
        layers.Conv2DTranspose(6, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
    ),
    "sequence": lambda: chain(
        (7, 8),
        layers.Conv1D(8, 3, activation="relu"),
        layers.EinsumDense("abc,cd->abd", (5, 6), activation="relu"),
        layers.Flatten(),
    ),
    "attention": attention,
    "recurrent": lambda: chain(
        (6,),
        layers.Embedding(11, 5),
        layers.GRU(8, return_sequences=True),
        layers.LSTM(8),
        dtype="int32",
    ),
}


class LayersTest(LiteTestCase):
    @parameterized.named_parameters(BACKBONES.items())
    def test_files_compute_what_keras_does(self, backbone):
        model = small_models.make_model(backbone(), tasks=2)
        x = small_models.random_inputs(model)
        path = self.folder / "all.tflite"
        lite.export_bundle(model, path)
        runner = lite.TaskRunner(path)
        for name in ("task 1", "task 0"):
            expected = model.predict(x, task=name, verbose=0)
            runner.select(name)
            np.testing.assert_allclose(runner.predict(x), expected, atol=1e-5)
        path = self.folder / "one.tflite"
        lite.export_task(model, path, "task 0")
        outputs = lite.run_file(path, x)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
        self.assertGreater(np.ptp(expected), 0.01)

    def test_integer_files_refuse_loops_by_name(self):
        model = small_models.make_model(
            chain((4, 3), layers.LSTM(5, name="reader")), tasks=1
        )
        x = small_models.random_inputs(model)
        path = self.path
        with self.assertRaisesRegex(lite.ExportError, "reader.*unroll=True"):
            lite.export_task(
                model, path, precision="int8", representative_data=x
            )

    def test_a_layer_without_operator_is_named(self):
        @keras.saving.register_keras_serializable(package="tests")
        class Unusual(layers.Layer):
            def call(self, inputs):
                import tensorflow as tf

                return tf.math.bessel_i0(inputs)

            def compute_output_shape(self, input_shape):
                return input_shape

        backbone = chain((20,), layers.Dense(5), Unusual(name="unusual"))
        model = small_models.make_model(backbone, tasks=1)
        path = self.path
        with self.assertRaisesRegex(lite.ExportError, "BesselI0.*unusual"):
            lite.export_task(model, path)
