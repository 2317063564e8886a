"""Every layer that the package covers, in task files and in bundles."""

import functools

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.layers import SubnetDense, Subnetwork
from tsn_keras.lite.files import flatbuffer


def chain(shape, *stages, dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *stages])


def residual():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(16, 3, padding="same", use_bias=False)(x)
    y = layers.Add()([x, layers.BatchNormalization()(y)])
    y = layers.Conv2D(6, 3, activation="relu")(layers.ReLU()(y))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(y))


def attention():
    inputs = keras.Input((5, 32))
    x = layers.MultiHeadAttention(2, 16)(inputs, inputs)
    x = layers.LayerNormalization()(layers.Add()([inputs, x]))
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def convolutions():
    return chain(
        (10, 10, 3),
        layers.Conv2D(16, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(12, activation="relu"),
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(60, activation="relu")
        self.second = layers.Dense(8, activation="tanh")

    def call(self, inputs):
        return self.second(self.first(inputs))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 8)


BACKBONES = {
    "subclassed": Subclassed,
    "subnetworks_inside": lambda: chain(
        (20,),
        SubnetDense(60, activation="relu"),
        layers.BatchNormalization(),
        Subnetwork(layers.Dense(8, activation="relu")),
    ),
    "convolutions": convolutions,
    "residual": residual,
    "depthwise": lambda: chain(
        (8, 8, 4),
        layers.DepthwiseConv2D(3, depth_multiplier=32, activation="relu"),
        layers.SeparableConv2D(8, 3, activation="relu"),
        layers.Conv2DTranspose(16, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
    ),
    "sequence": lambda: chain(
        (7, 8),
        layers.Conv1D(48, 3, activation="relu"),
        layers.EinsumDense("abc,cd->abd", (5, 24), activation="relu"),
        layers.Flatten(),
    ),
    "attention": attention,
    "recurrent": lambda: chain(
        (6,),
        layers.Embedding(50, 24),
        layers.GRU(20, return_sequences=True),
        layers.LSTM(20),
        dtype="int32",
    ),
}


@functools.cache
def model_and_inputs(backbone):
    """Returns a model of two tasks, its inputs and the outputs of each."""
    model = small_models.make_model(BACKBONES[backbone](), tasks=2)
    x = small_models.random_inputs(model, 20)
    outputs = {
        name: model.predict(x, task=name, verbose=0) for name in model.tasks
    }
    return model, x, outputs


def stored_in_int8(content):
    """Returns the shapes of the constants that are int8."""
    return [
        tuple(tensor.shape)
        for graph in flatbuffer.FlatModel.from_bytes(content).graphs
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == flatbuffer.INT8 and graph.data(index) is not None
    ]


class LayersTest(LiteTestCase):
    @parameterized.parameters(*BACKBONES)
    def test_files_compute_what_keras_does(self, backbone):
        model, x, expected = model_and_inputs(backbone)
        path = self.folder / "all.tflite"
        lite.export_bundle(model, path)
        runner = lite.TaskRunner(path)
        for name in ("task 1", "task 0"):
            runner.select(name)
            np.testing.assert_allclose(
                runner.predict(x), expected[name], atol=1e-5
            )
        path = self.folder / "one.tflite"
        lite.export_task(model, path, "task 0")
        outputs = lite.run_file(path, x)
        np.testing.assert_allclose(outputs, expected["task 0"], atol=1e-5)
        self.assertGreater(np.ptp(expected["task 0"]), 0.01)

    @parameterized.parameters(*BACKBONES)
    def test_sparse_and_integer_weights(self, backbone):
        model, x, outputs = model_and_inputs(backbone)
        expected = outputs["task 0"]
        for precision, compression, bound in (
            ("float32", "auto", 1e-5),
            ("dynamic_int8", "none", 0.1),
            ("dynamic_int8", "auto", 0.1),
        ):
            lite.export_task(
                model,
                self.path,
                "task 0",
                precision=precision,
                compression=compression,
            )
            int8 = stored_in_int8(self.path.read_bytes())
            self.assertEqual(bool(int8), "int8" in precision)
            for xnnpack in (True, False):
                outputs = lite.run_file(self.path, x, xnnpack)
                error = np.abs(outputs - expected).max()
                self.assertLess(error, bound * np.abs(expected).max())

    def test_mobile_net(self):
        backbone = keras.applications.MobileNetV2(
            (32, 32, 3), 0.35, include_top=False, weights=None, pooling="avg"
        )
        model = small_models.make_model(backbone, tasks=1)
        x = small_models.random_inputs(model, 4)
        report = lite.export_task(model, self.path, verification_data=x)
        self.assertEqual(report.compression, "auto")
        self.assertEqual(report.samples, "verification_data")
        self.assertGreater(np.ptp(report.agreement.logits), 0.1)

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
        with self.assertRaisesRegex(lite.ExportError, "BesselI0.*unusual"):
            lite.export_bundle(model, path)
