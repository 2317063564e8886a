"""Tests for the places where a network can be cut in two."""

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tsn_keras.declared_inputs import declared_inputs
from tsn_keras.network_cut import find_cuts


def convolutions():
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(4, 3, groups=2),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(8),
        ]
    )


def residual():
    inputs = keras.Input((6,))
    first = layers.Dense(6)(inputs)
    inside = layers.Dense(6)(layers.Dense(6)(first))
    added = layers.add([first, inside])
    return keras.Model(inputs, layers.Dense(6)(added))


def two_inputs():
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,))}
    joined = layers.concatenate(list(inputs.values()))
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(5)(joined)))


def shared_layer():
    inputs = keras.Input((6,))
    dense = layers.Dense(6)
    hidden = dense(layers.ReLU()(dense(inputs)))
    return keras.Model(inputs, layers.Dense(6)(hidden))


class Own(layers.Dense):
    """A layer that might do anything."""


def stack(*inner):
    return keras.Sequential([keras.Input((6,)), *inner])


def embedded(mask_zero):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Embedding(10, 8, mask_zero=mask_zero),
            layers.LSTM(8),
            layers.Dense(8),
        ]
    )


def states():
    inputs = keras.Input((6, 4))
    sequence, *state = layers.LSTM(
        5, return_sequences=True, return_state=True
    )(inputs)
    again = layers.LSTM(5)(sequence, initial_state=state)
    return keras.Model(inputs, layers.Dense(3)(layers.Dense(4)(again)))


def attention():
    inputs = keras.Input((6, 4))
    attended = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    normal = layers.LayerNormalization()(inputs + attended)
    wide = layers.Dense(8, activation="gelu")(normal)
    mixed = layers.Bidirectional(layers.GRU(3))(keras.ops.relu(wide))
    return keras.Model(inputs, layers.Dense(3)(mixed))


def nested():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Rescaling(0.5),
            layers.TimeDistributed(layers.Dense(5)),
            keras.Sequential([layers.Conv2D(4, 3), layers.Flatten()]),
            layers.Dense(3),
        ]
    )


class NetworkCutTest(parameterized.TestCase):
    @parameterized.parameters(
        (convolutions, 1),
        (residual, 2),
        (two_inputs, 1),
        (shared_layer, 1),
        (lambda: embedded(False), 2),
        (states, 1),
        (attention, 2),
        (nested, 2),
    )
    def test_both_parts_compute_the_whole(self, make, count):
        network = make()
        x = keras.tree.map_structure(
            lambda t: np.random.default_rng(0).random((3, *t.shape[1:])) * 5,
            declared_inputs(network),
        )
        expected = network(x)
        weights = {id(weight) for weight in network.weights}
        cuts = find_cuts(network)
        self.assertLen(cuts, count)
        works = [cut.work for cut in cuts]
        self.assertEqual(works, sorted(set(works)))
        for cut in cuts:
            between = cut.before(x)
            self.assertEqual(cut.size, between[0].numpy().size)
            np.testing.assert_array_equal(cut.after(between), expected)
            parts = cut.before.weights + cut.after.weights
            self.assertEqual({id(weight) for weight in parts}, weights)

    def test_not_within_a_branch(self):
        network = residual()
        first, one, two, last = [
            layer for layer in network.layers if layer.weights
        ]
        for cut in find_cuts(network):
            before = [layer for layer in cut.before.layers if layer.weights]
            self.assertIn(before, ([first], [first, one, two]))
            self.assertNotIn(last, before)

    @parameterized.named_parameters(
        ("one_layer", lambda: stack(layers.Dense(3))),
        ("own_layer", lambda: stack(layers.Dense(3), Own(3), Own(2))),
        (
            "activity_regularizer",
            lambda: stack(
                layers.Dense(3, activity_regularizer="l2"), layers.Dense(3)
            ),
        ),
        ("layer", lambda: layers.Dense(3)),
        (
            "two_outputs",
            lambda: keras.Model(
                inputs := keras.Input((3,)),
                [
                    hidden := layers.Dense(3)(layers.Dense(3)(inputs)),
                    layers.Dense(3)(hidden),
                ],
            ),
        ),
    )
    def test_not_cut(self, make):
        self.assertEmpty(find_cuts(make()))

    def test_mask_is_not_lost(self):
        (cut,) = find_cuts(embedded(True))
        names = [type(layer).__name__ for layer in cut.before.layers]
        self.assertIn("LSTM", names)
