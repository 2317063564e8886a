"""Dead units go, and nothing else changes."""

import tempfile
import warnings

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.lite import small_models
from tsn_keras import lite
from tsn_keras.lite import task_file
from tsn_keras.lite.networks.rewriting import rewrite_network
from tsn_keras.lite.networks.run_with_values import (
    run_with_values,
    task_values,
    task_variables,
)


def chain(shape, *stages):
    return keras.Sequential([keras.Input(shape), *stages])


def adapted_normalization():
    layer = layers.Normalization()
    random = np.random.default_rng(0)
    layer.adapt(random.normal(5, 2, (200, 20)).astype(np.float32))
    return layer


def functional():
    inputs = keras.Input((20,))
    x = layers.Dense(9, activation="relu", name="first")(inputs)
    x = layers.LeakyReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(8, activation="sigmoid", name="second")(x)
    return keras.Model(inputs, layers.Dropout(0.5)(x))


CHAINS = {
    "dense": lambda: chain(
        (20,),
        layers.Dense(9, activation="relu", name="first"),
        layers.Dense(8, activation="relu", name="second"),
    ),
    "functional": functional,
    "convolutions": lambda: chain(
        (8, 8, 3),
        layers.Conv2D(9, 3, activation="relu", name="first"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 2, activation="tanh", name="second"),
        layers.Flatten(),
    ),
    "depthwise": lambda: chain(
        (8, 8, 3),
        layers.Conv2D(9, 1, use_bias=False, name="first"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.ReLU(),
        layers.Conv2D(8, 1, name="second"),
        layers.GlobalAveragePooling2D(),
    ),
    "sequence": lambda: chain(
        (7, 4),
        layers.Conv1D(9, 2, activation="relu", name="first"),
        layers.Dense(8, activation="relu", name="second"),
        layers.GlobalMaxPooling1D(),
    ),
}


def with_dead_units(model, incoming=(), outgoing=()):
    """Returns a task's values with weights of units of `first` at zero."""
    variables = task_variables(model)
    values = [np.array(v) for v in task_values(model, "task 0")]
    paths = [variable.path for variable in variables]
    first = next(i for i, p in enumerate(paths) if p.endswith("first/kernel"))
    second = next(i for i, p in enumerate(paths) if p.endswith("second/kernel"))
    values[first][..., list(incoming)] = 0
    values[second][..., list(outgoing), :] = 0
    return variables, values


def outputs_of(model, values, x):
    return np.asarray(run_with_values(model, x, values))


class DeadUnitsTest(parameterized.TestCase):
    @parameterized.named_parameters(CHAINS.items())
    def test_what_is_computed_stays(self, make):
        model = small_models.make_model(make(), tasks=1, kept=0.7)
        x = small_models.random_inputs(model)
        variables, values = with_dead_units(model, [0, 4], [7])
        expected = outputs_of(model, values, x)
        head = model.heads.head
        inner = model.backbone.layer
        smaller = rewrite_network(inner, head, variables, values)
        self.assertGreaterEqual(smaller.removed["first"], 1)
        actual = np.asarray(smaller(x))
        np.testing.assert_allclose(actual, expected, atol=1e-5)

    def test_both_kinds_are_removed_from_dense_layers(self):
        model = small_models.make_model(CHAINS["dense"](), tasks=1, kept=0.9)
        variables, values = with_dead_units(model, [0, 4], [7])
        head = model.heads.head
        smaller = rewrite_network(model.backbone.layer, head, variables, values)
        self.assertEqual(smaller.removed, {"first": 3})
        shapes = [tuple(w.shape) for w in smaller.backbone.weights]
        self.assertEqual(shapes, [(20, 6), (6,), (6, 8), (8,)])

    @parameterized.named_parameters(
        ("operations", lambda x: keras.ops.tanh(x * 2) + 1, True),
        ("normalization", adapted_normalization(), True),
        ("lambda", layers.Lambda(lambda x: 2 * x), False),
        ("function", layers.Dense(9, lambda x: abs(x) + x), False),
    )
    def test_layers_of_any_kind_beside_dead_units(self, stage, are_removed):
        inputs = keras.Input((20,))
        x = stage(inputs)
        for units in (12, 12, 9):
            x = layers.Dense(units, "relu")(x)
        backbone = keras.Model(inputs, x)
        model = small_models.make_model(backbone, tasks=1, kept=0.06)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/task.tflite"
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                report = lite.export_task(model, path)
        messages = [str(w.message) for w in caught]
        warned = any("cannot be made anew" in text for text in messages)
        self.assertEqual(bool(report.removed_units), are_removed)
        self.assertEqual(warned, not are_removed)

    def test_a_chain_of_deaths(self):
        """A unit that only a dead unit uses dies with it."""
        model = small_models.make_model(CHAINS["dense"](), tasks=1, kept=0.9)
        variables, values = with_dead_units(model)
        first, second, head = values[0], values[1], values[4]
        second[3] = 0
        second[3, 2] = 1.0
        head[2] = 0
        smaller = rewrite_network(
            model.backbone.layer, model.heads.head, variables, values
        )
        self.assertEqual(smaller.removed, {"first": 1, "second": 1})
        self.assertTrue(first.any())

    def test_constants_stay_where_a_border_would_show(self):
        backbone = chain(
            (6, 6, 3),
            layers.Conv2D(5, 3, activation="sigmoid", name="first"),
            layers.Conv2D(4, 3, padding="same", name="second"),
            layers.GlobalAveragePooling2D(),
        )
        model = small_models.make_model(backbone, tasks=1, kept=0.9)
        variables, values = with_dead_units(model, incoming=[1])
        smaller = rewrite_network(
            model.backbone.layer, model.heads.head, variables, values
        )
        self.assertIsNone(smaller)

    def test_nothing_alive(self):
        model = small_models.make_model(CHAINS["dense"](), tasks=1)
        x = small_models.random_inputs(model)
        variables, values = with_dead_units(model, range(9))
        expected = outputs_of(model, values, x)
        smaller = rewrite_network(
            model.backbone.layer, model.heads.head, variables, values
        )
        self.assertEqual(smaller.removed["first"], 8)
        np.testing.assert_allclose(smaller(x), expected, atol=1e-6)

    def test_frozen_layers_in_a_chain(self):
        frozen = layers.Dense(8, activation="relu", trainable=False)
        backbone = chain(
            (20,),
            layers.Dense(9, activation="relu", name="first"),
            frozen,
            layers.Dense(6, activation="relu"),
        )
        model = small_models.make_model(backbone, tasks=1, kept=0.9)
        values = [np.array(v) for v in task_values(model, "task 0")]
        values[0][:, [0, 4]] = 0
        x = small_models.random_inputs(model)
        content, removed = task_file.task_content(
            model, values, lite.PRECISIONS["float32"], None
        )
        self.assertEqual(removed, {"first": 2})
        runner = lite.make_interpreter(content).get_signature_runner()
        np.testing.assert_allclose(
            runner(inputs=x)["outputs"], outputs_of(model, values, x), atol=1e-5
        )

    def test_branches_and_shared_layers_are_left_alone(self):
        inputs = keras.Input((6,))
        shared = layers.Dense(6, activation="relu", name="first")
        x = shared(shared(inputs))
        branch = layers.Dense(6, activation="relu", name="second")(x)
        backbone = keras.Model(inputs, layers.Add()([x, branch]))
        model = small_models.make_model(backbone, tasks=1, kept=0.9)
        variables, values = with_dead_units(model, [1], [2])
        smaller = rewrite_network(
            model.backbone.layer, model.heads.head, variables, values
        )
        self.assertIsNone(smaller)
