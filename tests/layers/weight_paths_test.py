"""Tests that weights are found by the same names wherever they are made."""

import os
import tempfile

import keras
from absl.testing import parameterized
from keras import layers

import tsn_keras
from tests.digits_tasks import everything, learn, make_model
from tsn_keras.layers import SubnetDense, Subnetwork
from tsn_keras.layers.weight_paths import weight_paths


@keras.saving.register_keras_serializable(package="weight_paths")
class Tower(keras.Model):
    """Holds unnamed layers in every way that Keras tracks."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(8, use_bias=False)
        self.named = layers.Dense(8, use_bias=False, name="stem")
        self.blocks = [layers.Dense(8, use_bias=False) for _ in range(2)]
        self.sides = {"left": layers.Dense(8, use_bias=False)}
        self.inner = keras.Sequential(
            [layers.Dense(8, use_bias=False), layers.Dense(8, use_bias=False)]
        )

    def call(self, inputs):
        x = self.named(self.first(inputs))
        for block in self.blocks:
            x = block(x)
        return self.inner(self.sides["left"](x))


TOWER_PATHS = [
    "tower/first/kernel",
    "tower/stem/kernel",
    "tower/blocks_0/kernel",
    "tower/blocks_1/kernel",
    "tower/sides_left/kernel",
    "tower/inner/dense/kernel",
    "tower/inner/dense_1/kernel",
]


def functional():
    inputs = keras.Input((6, 4))
    hidden = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
    hidden = layers.TimeDistributed(layers.Dense(4), name="each")(hidden)
    hidden = layers.MultiHeadAttention(2, 2, name="mha")(hidden, hidden)
    return keras.Model(inputs, layers.Dense(2, name="last")(hidden), name="net")


def count_up():
    """Moves Keras' counters on, as other code in the process may do."""
    for make in (layers.Dense, layers.LSTM, layers.Bidirectional):
        make(layers.LSTM(2)) if make is layers.Bidirectional else make(2)
    keras.Sequential([layers.Dense(2)])


def paths(layer):
    named = weight_paths(layer, transparent=Subnetwork)
    return [named[id(weight)] for weight in layer.trainable_weights]


class WeightPathsTest(parameterized.TestCase):
    @parameterized.parameters(0, 3)
    def test_of_subclassed_models(self, others):
        for _ in range(others):
            count_up()
        tower = Tower()
        tower.build((None, 8))
        tower(keras.ops.ones((1, 8)))
        self.assertCountEqual(paths(tower), TOWER_PATHS)

    def test_of_functional_models(self):
        found = paths(functional())
        for path in (
            "net/each/layer/kernel",
            "net/mha/query/kernel",
            "net/last/kernel",
        ):
            self.assertIn(path, found)
        directions = ("forward_layer", "backward_layer")
        for direction in directions:
            self.assertTrue(
                any(f"/{direction}/cell/kernel" in path for path in found),
                msg=found,
            )

    def test_wrappers_are_left_out(self):
        inputs = keras.Input((4,))
        hidden = SubnetDense(3, name="first")(inputs)
        hidden = Subnetwork(layers.Dense(3), name="second")(hidden)
        model = keras.Model(inputs, hidden, name="net")
        kernels = [path for path in paths(model) if path.endswith("kernel")]
        self.assertEqual(kernels, ["net/first/kernel", "net/second/kernel"])
        installed = tsn_keras.ContinualModel(model).switch
        found = [kernel.path for kernel in installed.kernels]
        self.assertEqual(found, kernels)

    def test_equal_names_are_numbered(self):
        class Twins(layers.Layer):
            def __init__(self):
                super().__init__()
                self.one = layers.Dense(2, use_bias=False, name="same")
                self.other = layers.Dense(2, use_bias=False, name="same")

            def call(self, inputs):
                return self.one(inputs) + self.other(inputs)

        twins = Twins()
        twins(keras.ops.ones((1, 2)))
        self.assertEqual(
            paths(twins), ["twins/same/kernel", "twins/same_1/kernel"]
        )


class PatternsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("/blocks_1/", ["tower/blocks_1/kernel"]),
        ("inner/dense_1", ["tower/inner/dense_1/kernel"]),
        ("^(?!.*/(first|inner)/).*kernel$", TOWER_PATHS[1:5]),
    )
    def test_find_the_same_after_loading(self, pattern, expected):
        model, loaded = self.make_and_load(
            pattern, lambda model: model.build((None, 64))
        )
        self.assertEqual(model.bank.paths, expected)
        self.assertEqual(loaded.bank.paths, expected)

    def test_tasks_are_learned_after_loading(self):
        model, loaded = self.make_and_load("/blocks_", learn)
        self.assertLen(model.bank.paths, 2)
        self.assertEqual(loaded.bank.paths, model.bank.paths)
        self.assertEqual(everything(loaded), everything(model))
        learn(loaded, 1)
        bits = loaded.report("task 1").bits
        self.assertEqual(bits.keys(), set(model.bank.paths))

    def make_and_load(self, pattern, prepare):
        count_up()
        tower = Tower()
        tower(keras.ops.ones((1, 64)))
        model = make_model(tower, kernels=pattern)
        prepare(model)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            count_up()
            return model, keras.models.load_model(path)
