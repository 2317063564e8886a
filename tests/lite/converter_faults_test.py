"""Faults of the converter and of LiteRT that exports work round.

Each test first shows the fault, so that it tells when it is gone.
"""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite import task_file
from tsn_keras.lite.files import sparse_weights
from tsn_keras.lite.files.conversion import convert
from tsn_keras.lite.files.flatbuffer import BUILTIN

GATHER = BUILTIN.GATHER


def file_of(function, *specs, **settings):
    module = tf.Module()
    traced = tf.function(function, input_signature=specs)
    concrete = traced.get_concrete_function()
    return convert(module, {"serving_default": concrete}, settings)


def dense():
    return small_models.dense_backbone((64, 64), 64)


def convolutions():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(32, 3, activation="relu", use_bias=False),
            layers.Conv2D(32, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )


class ConverterFaultsTest(LiteTestCase):
    def test_relu_after_a_product_with_computed_weights(self):
        weights = np.random.default_rng(0).standard_normal((2, 6, 5))
        weights = tf.constant(weights, tf.float32)

        def compute(x, task):
            return {"y": tf.nn.relu(x @ tf.gather(weights, task))}

        content = file_of(
            compute,
            tf.TensorSpec([1, 6], tf.float32, "x"),
            tf.TensorSpec([], tf.int32, "task"),
        )
        runner = lite.make_interpreter(content).get_signature_runner()
        x = np.ones((1, 6), np.float32)
        self.assertLess(runner(x=x, task=np.int32(0))["y"].min(), 0)

        backbone = small_models.dense_backbone((16,), use_bias=False)
        model = small_models.make_model(backbone, tasks=2)
        lite.export_bundle(model, self.path)
        x = small_models.random_inputs(model)
        runner = lite.TaskRunner(self.path)
        runner.select("task 1")
        expected = model.predict(x, task="task 1", verbose=0)
        np.testing.assert_allclose(runner.predict(x), expected, atol=1e-5)

    def test_a_dropped_relu_would_be_refused(self):
        backbone = small_models.dense_backbone((16,), use_bias=False)
        model = small_models.make_model(backbone, tasks=1)
        hidden = model.backbone.layer.layers[0]
        x = small_models.random_inputs(model)
        expected = model.predict(x, verbose=0)
        with mock.patch.object(hidden, "activation", tf.identity):
            wrong, _ = task_file.task_content(
                model,
                model.bank.effective("task 0") + model.bank.private("task 0"),
                lite.PRECISIONS["float32"],
                1,
            )
        samples = lite.Samples([x], None, "x")
        with self.assertRaisesRegex(lite.ExportError, "outputs differ"):
            lite.verify_content(
                wrong,
                {"outputs": expected},
                samples,
                model.switch.inputs,
                lite.PRECISIONS["float32"],
                0.9,
            )

    def test_codes_folded_into_floats(self):
        codes = np.random.default_rng(0).integers(0, 16, (60, 50), np.uint8)
        book = tf.range(16, dtype=tf.float32)

        def compute(x):
            found = tf.gather(book, tf.cast(tf.constant(codes), tf.int32))
            return {"y": x @ found}

        content = file_of(compute, tf.TensorSpec([1, 60], tf.float32, "x"))
        self.assertGreater(len(content), 4 * codes.size)

        backbone = small_models.dense_backbone((100, 100), 200)
        model = small_models.make_model(backbone, tasks=1, kept=0.1)
        report = lite.export_bundle(model, self.path)
        # Not even a single task is folded.
        self.assertLess(report.bytes, 4 * 200 * 100 / 2)

    @parameterized.parameters("dynamic_int8", "int8")
    def test_sparse_integers_under_xnnpack(self, precision):
        model = small_models.make_model(dense(), tasks=1, kept=0.1)
        x = small_models.random_inputs(model, 30)
        arguments = {"precision": precision, "representative_data": x}
        lite.export_task(model, self.path, compression="none", **arguments)
        plain = self.path.read_bytes()
        with mock.patch.object(sparse_weights, "guard_integers"):
            wrong = sparse_weights.leave_out_zeros(plain)
        self.path.write_bytes(wrong)
        with self.assertRaises(RuntimeError):
            lite.run_file(self.path, x)
        lite.run_file(self.path, x, xnnpack=False)
        report = lite.export_task(model, self.path, **arguments)
        self.assertEqual(report.compression, "auto")
        self.assertLess(report.bytes, 0.9 * len(plain))

    def test_the_converters_own_sparse_weights(self):
        """It drops what is behind the last whole block of inputs."""
        backbone = small_models.dense_backbone((200,), 8)
        model = small_models.make_model(backbone, tasks=1)
        x = small_models.random_inputs(model, 200)
        expected = model.predict(x, verbose=0)
        settings = lite.PRECISIONS["dynamic_int8"].settings()
        sparsity = tf.lite.Optimize.EXPERIMENTAL_SPARSITY
        settings["optimizations"].append(sparsity)
        kernels = model.bank.effective("task 0")
        head, hidden = model.bank.private("task 0")[1:], kernels[0]
        bias = model.bank.private("task 0")[0]

        def compute(x):
            units = tf.nn.relu(x @ hidden + bias)
            return {"outputs": units @ head[0] + head[1]}

        spec = tf.TensorSpec([1, 8], tf.float32, "inputs")
        self.path.write_bytes(file_of(compute, spec, **settings))
        lost = np.abs(lite.run_file(self.path, x, False) - expected).max()
        self.assertGreater(lost, 0.3 * np.ptp(expected))
        lite.export_task(model, self.path, precision="dynamic_int8")
        lost = np.abs(lite.run_file(self.path, x) - expected).max()
        self.assertLess(lost, 0.05 * np.ptp(expected))

    def test_embeddings_restored_in_two_steps(self):
        """XNNPACK mixes up those that are sparse and float16."""
        layers = [
            keras.layers.Embedding(500, 32),
            keras.layers.GlobalAveragePooling1D(),
        ]
        backbone = keras.Sequential([keras.Input((6,), dtype="int32"), *layers])
        model = small_models.make_model(backbone, tasks=1, kept=0.1)
        x = small_models.random_inputs(model, 30)
        arguments = {"precision": "float16", "verification_data": x}
        with mock.patch.object(
            sparse_weights, "PRODUCTS", (*sparse_weights.PRODUCTS, GATHER)
        ):
            found = lite.export_task(model, self.path, **arguments)
        # Made, found to be wrong, and made again.
        self.assertEqual(found.compression, "none")
        lite.export_task(model, self.path, **arguments)
        arguments["precision"] = "float32"
        found = lite.export_task(model, self.path, **arguments)
        self.assertLess(found.fraction, 0.25)

    @parameterized.parameters(
        # Dense layers become convolutions of one pixel.
        (dense, "int8", False),
        (convolutions, "int8", False),
        (dense, "dynamic_int8", True),
        (convolutions, "dynamic_int8", True),
    )
    def test_sparse_integers_that_xnnpack_can_run(
        self, backbone, precision, is_guarded
    ):
        model = small_models.make_model(backbone(), tasks=1, kept=0.1)
        x = small_models.random_inputs(model, 30)
        for batch_size in (1, None):
            lite.export_task(
                model,
                self.path,
                precision=precision,
                batch_size=batch_size,
                representative_data=x,
            )
            found = dict(lite.operators(self.path.read_bytes()))
            self.assertIn("DENSIFY", found)
            self.assertEqual("BITCAST" in found, is_guarded)
            one, other = (lite.run_file(self.path, x, on) for on in (1, 0))
            np.testing.assert_allclose(one, other, atol=0.05 * np.ptp(other))
