import keras
import numpy as np
from absl.testing import parameterized

from tests.layers.layer_test_case import LayerTestCase
from tsn_keras import layers

FORMS = (
    ("Dense", (4,), (2, 3), 1),
    ("EinsumDense", ("ab,bc->ac", 4), (2, 3), 1),
    ("Conv1D", (4, 3), (2, 7, 3), 1),
    ("Conv2D", (4, 3), (2, 6, 6, 3), 1),
    ("Conv2DTranspose", (4, 3), (2, 4, 4, 3), 1),
    ("Conv3D", (2, 2), (1, 4, 4, 4, 2), 1),
    ("DepthwiseConv2D", (3,), (2, 6, 6, 3), 1),
    ("SeparableConv2D", (4, 3), (2, 6, 6, 3), 2),
    ("Embedding", (10, 4), (2, 5), 1),
    ("GRU", (3,), (2, 5, 4), 2),
    ("LSTM", (3,), (2, 5, 4), 2),
)


def inputs_of(name, shape):
    rng = np.random.default_rng(0)
    if name == "Embedding":
        return rng.integers(0, 10, shape).astype(np.float32)
    return rng.normal(size=shape).astype(np.float32)


class ThinFormsTest(LayerTestCase):
    @parameterized.product(form=FORMS, learned_scores=(False, True))
    def test_as_a_layer(self, form, learned_scores):
        name, arguments, shape, _ = form
        layer_class = getattr(layers, f"Subnet{name}")
        layer = layer_class(*arguments, learned_scores=learned_scores)
        self.run_layer_test(layer, inputs_of(name, shape))

    @parameterized.parameters(*FORMS)
    def test_is_the_keras_layer_while_dense(
        self, name, arguments, shape, num_kernels
    ):
        layer = getattr(layers, f"Subnet{name}")(*arguments)
        plain = getattr(keras.layers, name)(*arguments)
        x = inputs_of(name, shape)
        found = np.asarray(layer(x))
        plain(x)
        plain.set_weights(layer.layer.get_weights())
        np.testing.assert_array_equal(found, plain(x))
        self.assertLen(layer.kernels, num_kernels)

    @parameterized.parameters(*FORMS)
    def test_computes_with_the_effective_kernels(
        self, name, arguments, shape, num_kernels
    ):
        layer = getattr(layers, f"Subnet{name}")(*arguments)
        plain = getattr(keras.layers, name)(*arguments)
        x = inputs_of(name, shape)
        layer(x)
        plain(x)
        plain.set_weights(layer.layer.get_weights())
        rng = np.random.default_rng(1)
        for kernel in layer.kernels:
            value = rng.normal(size=kernel.shape).astype(np.float32)
            kernel.install(value)
            (variable,) = [
                weight
                for weight in plain.weights
                if weight.path.split("/")[-1] == kernel.path.split("/")[-1]
            ]
            variable.assign(value)
        np.testing.assert_array_equal(layer(x), plain(x))

    def test_dtype_policy_of_its_own(self):
        layer = layers.SubnetDense(4, dtype="mixed_bfloat16")
        self.assertEqual(layer.dtype_policy.name, "mixed_bfloat16")
        self.run_layer_test(layer, inputs_of("Dense", (2, 3)))

    def test_name_and_documentation(self):
        layer = layers.SubnetConv2D(4, 3, name="stem")
        self.assertEqual(layer.name, "stem")
        self.assertIn("keras.layers.Conv2D", layers.SubnetConv2D.__doc__)

    def test_argument_of_no_keras_layer(self):
        with self.assertRaisesRegex(ValueError, "colour"):
            layers.SubnetDense(4, colour="red")
