"""What every layer of this package must be able to do."""

import json
import pathlib
import tempfile

import keras
import numpy as np
from absl.testing import parameterized


class LayerTestCase(parameterized.TestCase):
    """Checks of a layer class in the manner of Keras' own layer tests."""

    def run_layer_test(self, layer, inputs: np.ndarray) -> None:
        """Checks a new layer.

        Args:
            layer: `keras.layers.Layer`, not yet built.
            inputs: array, a batch of inputs.
        """
        self._check_config(layer)
        symbolic = layer(keras.KerasTensor((None, *inputs.shape[1:])))
        outputs = layer(inputs)
        self.assertEqual(symbolic.shape[1:], tuple(outputs.shape[1:]))
        self.assertEqual(
            tuple(layer.compute_output_shape(inputs.shape)),
            tuple(outputs.shape),
        )
        self.assertEqual(
            keras.backend.standardize_dtype(outputs.dtype), layer.compute_dtype
        )
        self._check_build_from_config(layer)
        self._check_saved_model(layer, inputs)

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
