"""What every layer of this package must be able to do."""

import json
import pathlib
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

from tsn_keras.keras_internals import carried_mask

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


class LayerTestCase(parameterized.TestCase):
    """Checks of a layer class in the manner of Keras' own layer tests."""

    def run_layer_test(self, layer, inputs: np.ndarray) -> None:
        """Checks a new layer.

        Args:
            layer: `keras.layers.Layer`, not yet built.
            inputs: array, a batch of inputs.
        """
        self._check_config(layer)
        self._check_symbolic_call(layer, inputs)
        self._check_build_from_config(layer)
        self._check_saved_model(layer, inputs)
        self._check_masking(layer, inputs)
        self._check_training(layer, inputs)
        for policy in POLICIES:
            self._check_dtype_policy(layer, inputs, policy)

    def _check_symbolic_call(self, layer, inputs: np.ndarray) -> None:
        symbolic = layer(keras.KerasTensor((None, *inputs.shape[1:])))
        self.assertIsInstance(symbolic, keras.KerasTensor)
        outputs = layer(inputs)
        self.assertEqual(symbolic.shape[1:], tuple(outputs.shape[1:]))
        shape = layer.compute_output_shape(inputs.shape)
        self.assertEqual(tuple(shape), tuple(outputs.shape))
        dtype = keras.backend.standardize_dtype(outputs.dtype)
        self.assertEqual(dtype, layer.compute_dtype)
        self.assertEqual(symbolic.dtype, dtype)

    def _check_masking(self, layer, inputs: np.ndarray) -> None:
        supports = layer.layer.supports_masking
        self.assertEqual(layer.supports_masking, supports)
        if inputs.ndim < 3:
            return
        masked = keras.layers.Masking()(inputs)
        found = carried_mask(layer(masked))
        expected = carried_mask(layer.layer(masked))
        self.assertIsNotNone(carried_mask(masked))
        self.assertEqual(found is None, expected is None)

    def _check_training(self, layer, inputs: np.ndarray) -> None:
        again = type(layer).from_config(layer.get_config())
        model = keras.Sequential([keras.Input(inputs.shape[1:]), again])
        model.compile("sgd", "mse", run_eagerly=True)
        before = [np.array(kernel.kernel) for kernel in again.kernels]
        fixed = [np.array(kernel.fixed) for kernel in again.kernels]
        target = np.asarray(model(inputs)) + 1
        model.fit(inputs, target, verbose=0)
        for kernel, old, kept in zip(again.kernels, before, fixed):
            self.assertTrue((np.array(kernel.kernel) != old).any())
            np.testing.assert_array_equal(kernel.fixed, kept)

    def _check_dtype_policy(self, layer, inputs, policy: str) -> None:
        config = {**layer.get_config(), "dtype": policy}
        if "layer" in config:
            # A wrapper computes as the layer in it.
            inner = config["layer"]
            if "layers" in inner["config"]:
                return
            inner_config = {**inner["config"], "dtype": policy}
            config["layer"] = {**inner, "config": inner_config}
        again = type(layer).from_config(config)
        self.assertEqual(again.dtype_policy.name, policy)
        outputs = again(inputs)
        self.assertEqual(outputs.dtype.name, again.compute_dtype)
        for kernel in again.kernels:
            self.assertEqual(kernel.kernel.dtype, "float32")
            self.assertEqual(kernel.fixed.dtype, "float32")
        self._check_config(again)

    def _check_config(self, layer) -> None:
        config = layer.get_config()
        again = type(layer).from_config(layer.get_config())
        self.assertEqual(json.dumps(again.get_config()), json.dumps(config))
        self.assertEqual(again.name, layer.name)
        self.assertEqual(again.dtype_policy, layer.dtype_policy)
        serialized = keras.saving.serialize_keras_object(layer)
        revived = keras.saving.deserialize_keras_object(
            json.loads(json.dumps(serialized))
        )
        self.assertIs(type(revived), type(layer))
        self.assertEqual(json.dumps(revived.get_config()), json.dumps(config))

    def _check_build_from_config(self, layer) -> None:
        again = type(layer).from_config(layer.get_config())
        again.build_from_config(layer.get_build_config())
        self.assertEqual(
            [tuple(weight.shape) for weight in again.weights],
            [tuple(weight.shape) for weight in layer.weights],
        )
        self.assertEqual(
            [weight.dtype for weight in again.weights],
            [weight.dtype for weight in layer.weights],
        )

    def _check_saved_model(self, layer, inputs: np.ndarray) -> None:
        model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "model.keras"
            model.save(path)
            again = keras.models.load_model(path)
        expected = keras.ops.convert_to_numpy(model(inputs))
        found = keras.ops.convert_to_numpy(again(inputs))
        self.assertEqual(found.tobytes(), expected.tobytes())
