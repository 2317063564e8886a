"""Channels of equal range compute the same, and better with eight bits."""

from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.lite import small_models
from tsn_keras import lite
from tsn_keras.lite import task_file
from tsn_keras.lite.networks import rewriting
from tsn_keras.lite.networks.equalization import DEVIATIONS, equalize
from tsn_keras.lite.networks.links import Values, find_links, outgoing
from tsn_keras.lite.networks.run_with_values import (
    run_with_values,
    task_values,
    task_variables,
)
from tsn_keras.lite.runner import Network


def chain(*stages, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape), *stages])


def functional():
    inputs = keras.Input((20,))
    x = layers.Dense(9, use_bias=False)(inputs)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dropout(0.5)(x))


CHAINS = {
    "convolutions": lambda: chain(
        layers.Conv2D(9, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 2, padding="same"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.GlobalAveragePooling2D(),
    ),
    "functional": functional,
    "flattened": lambda: chain(
        layers.Conv2D(9, 3, activation="tanh"),
        layers.BatchNormalization(),
        layers.Flatten(),
    ),
}

# Layers behind which nothing must be scaled.
UNSCALABLE = {
    "relu6": [layers.BatchNormalization, lambda: layers.ReLU(6.0)],
    "tanh": [layers.BatchNormalization, lambda: layers.Activation("tanh")],
    "no_gamma": [lambda: layers.BatchNormalization(scale=False)],
    "no_beta": [lambda: layers.BatchNormalization(center=False)],
    "no_normalization": [layers.ReLU],
    "depthwise": [
        layers.BatchNormalization,
        lambda: layers.DepthwiseConv2D(3, padding="same"),
    ],
}


def stored_values(model):
    variables = task_variables(model)
    values = task_values(model, "task 0")
    return variables, [np.array(value) for value in values]


def uneven_values(model):
    """Returns a task's values, with channels of very different ranges."""
    variables, arrays = stored_values(model)
    random = np.random.default_rng(3)
    values = Values(variables, arrays)
    for link in find_links(model.backbone.layer, model.heads.head):
        out = outgoing(link, values)
        scale = 10.0 ** random.uniform(-2, 0, (out.shape[1], 1))
        shape = values[link.consumer.kernel].shape
        values[link.consumer.kernel] = (out / scale).reshape(shape)
        for layer in link.between:
            if isinstance(layer, layers.BatchNormalization):
                values[layer.gamma] *= scale[:, 0]
                values[layer.beta] *= scale[:, 0]
    return variables, [np.float32(values[v]) for v in variables]


def rewritten(model, variables, values):
    return rewriting.rewrite_network(
        model.backbone.layer,
        model.heads.head,
        variables,
        values,
        remove_dead_units=False,
        equalize_channels=True,
    )


class EqualizationTest(parameterized.TestCase):
    @parameterized.named_parameters(CHAINS.items())
    def test_outputs_stay(self, make):
        model = small_models.make_model(make(), tasks=1, kept=0.7)
        x = small_models.random_inputs(model)
        variables, values = uneven_values(model)
        expected = np.asarray(run_with_values(model, x, values))
        network = rewritten(model, variables, values)
        self.assertEqual(network.removed, {})
        np.testing.assert_allclose(network(x), expected, atol=1e-5, rtol=1e-5)

    @parameterized.named_parameters(CHAINS.items())
    def test_channels_and_weights_are_in_balance(self, make):
        model = small_models.make_model(make(), tasks=1, kept=0.9)
        links = find_links(model.backbone.layer, model.heads.head)
        values = Values(*uneven_values(model))
        self.assertTrue(equalize(links, values))
        for link in links:
            (normalization,) = (
                layer
                for layer in link.between
                if isinstance(layer, layers.BatchNormalization)
            )
            ranges = DEVIATIONS * np.abs(values[normalization.gamma])
            ranges += values[normalization.beta]
            weights = np.abs(outgoing(link, values)).max(axis=(0, 2))
            parts = (ranges / weights)[(ranges > 0) & (weights > 0)]
            self.assertGreater(parts.size, 1)
            np.testing.assert_allclose(parts, parts[0], rtol=1e-4)

    @parameterized.named_parameters(UNSCALABLE.items())
    def test_what_does_not_scale_is_left_alone(self, between):
        backbone = chain(
            layers.Conv2D(9, 3),
            *(make() for make in between),
            layers.GlobalAveragePooling2D(),
        )
        model = small_models.make_model(backbone, tasks=1, kept=0.7)
        self.assertIsNone(rewritten(model, *stored_values(model)))

    def test_channels_that_are_always_zero(self):
        model = small_models.make_model(CHAINS["convolutions"](), tasks=1)
        x = small_models.random_inputs(model)
        variables, values = stored_values(model)
        for variable, value in zip(variables, values):
            if variable.name in ("gamma", "beta"):
                value[::2] = 0
        expected = np.asarray(run_with_values(model, x, values))
        network = rewritten(model, variables, values)
        np.testing.assert_allclose(network(x), expected, atol=1e-5)

    @parameterized.parameters("dynamic_int8", "int8")
    def test_integers_come_closer(self, precision):
        # LiteRT leaves kernels of fewer than 1,024 weights in float32.
        backbone = chain(
            layers.Conv2D(40, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(40, 3),
            layers.GlobalAveragePooling2D(),
        )
        model = small_models.make_model(backbone, tasks=1, kept=0.9)
        x = small_models.random_inputs(model, count=64)
        _, values = uneven_values(model)
        expected = np.asarray(run_with_values(model, x, values))

        def error():
            content, _ = task_file.task_content(
                model,
                values,
                lite.PRECISIONS[precision],
                64,
                lite.Samples([x], None, "representative_data"),
            )
            runner = Network(lite.make_interpreter(content))
            (found,) = runner.run(x).values()
            return np.sqrt(np.mean((found - expected) ** 2))

        equalized = error()
        with mock.patch.object(rewriting, "equalize", return_value=False):
            plain = error()
        self.assertLess(equalized, 0.7 * plain)
