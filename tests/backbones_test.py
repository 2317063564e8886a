"""Tests that other people's models learn tasks as they come.

Those of keras.applications take minutes; TSN_SLOW_TESTS=1 runs them too.
"""

import functools
import os
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

from examples.backbones import BACKBONES, TwoLayers
from examples.compatibility import make_model as make_small_model
from examples.compatibility import try_out
from tests.digits_tasks import (
    TRAIN,
    begin,
    digits,
    fit,
    learn,
    make_model,
    mlp,
)

# The kernels that a reader of examples/backbones.py counts.
KERNELS = {
    "Sequential": 1,
    "functional": 2,
    "subclassed": 2,
    "nested": 4,
    "list of inputs": 1,
    "dict of inputs": 1,
    "dict of outputs": 3,
    "shared layers": 1,
    "partly frozen": 1,
    "Conv1D on sensor windows": 3,
    "Embedding": 1,
    "LSTM": 2,
    "GRU": 2,
    "Bidirectional LSTM": 4,
    "Vision Transformer": 8,
    "text Transformer": 8,
    "MobileNetV2": 52,
    "ResNet50V2": 53,
    "EfficientNetB0": 81,
}
SLOW = ("MobileNetV2", "ResNet50V2", "EfficientNetB0")


class BackbonesTest(parameterized.TestCase):
    def test_every_backbone_is_tried(self):
        self.assertEqual(list(KERNELS), list(BACKBONES))

    @parameterized.parameters(*KERNELS)
    def test_learns_tasks(self, name):
        if name in SLOW and not os.environ.get("TSN_SLOW_TESTS"):
            self.skipTest("TSN_SLOW_TESTS is not set.")
        keras.utils.set_random_seed(0)
        backbone = BACKBONES[name]
        model = make_small_model(backbone, fine_tune_steps=0)
        outcome = try_out(backbone, model, num_tasks=2)
        self.assertEqual(outcome.kernels, KERNELS[name])
        self.assertLen(outcome.accuracies, 2)
        # Guessing gets 0.33.
        self.assertGreater(min(outcome.accuracies), 0.7)
        self.assertTrue(outcome.bit_exact)
        self.assertEqual(outcome.reload_difference, 0.0)
        self.assertTrue(outcome.exported)


class ScriptsTest(parameterized.TestCase):
    def test_functions_and_classes_of_a_script(self):
        def leaky(inputs):
            return keras.ops.maximum(inputs, 0.1 * inputs)

        class Double(keras.layers.Layer):
            def call(self, inputs):
                return 2 * inputs

        dense = keras.layers.Dense(8, activation=leaky)
        model = make_model(
            keras.Sequential([keras.Input((64,)), Double(), dense])
        )
        for number in range(2):
            learn(model, number)
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(
            path, custom_objects={"leaky": leaky, "Double": Double}
        )
        self.assertEqual(loaded.bank.to_bytes(), model.bank.to_bytes())


def dense_layers():
    """Returns the first layers of a network, and those with the second."""
    first = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(40, activation="relu"),
            keras.layers.BatchNormalization(),
        ],
        name="base",
    )
    second = keras.layers.Dense(16, activation="relu")
    return first, keras.Sequential([first, second])


@functools.cache
def pretrained_weights():
    _, backbone = dense_layers()
    whole = keras.Sequential([backbone, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    whole.compile("adam", loss)
    whole.fit(*digits(9, TRAIN), verbose=0)
    return backbone.get_weights()


def pretrained():
    """Returns a backbone whose first layers are trained and frozen."""
    first, backbone = dense_layers()
    backbone.set_weights(pretrained_weights())
    first.trainable = False
    return first, backbone


def bits(layer):
    return [np.asarray(weight).tobytes() for weight in layer.weights]


class FrozenPartsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "model.keras")

    def test_stay_as_they_are_and_are_stored_once(self):
        first, backbone = pretrained()
        before = bits(first)
        model = make_model(backbone)
        base = 4 * sum(map(int, map(np.size, first.weights)))
        sizes = []
        for number in range(2):
            learn(model, number)
            self.assertEqual(bits(first), before)
            capacity = model.capacity()
            self.assertEqual(capacity.bytes["base"], base)
            sizes.append(capacity.total_bytes)
            shapes = [v.shape for v in model.bank.private(f"task {number}")]
            self.assertEqual(shapes, [(16,), (16, 10), (10,)])
        self.assertLess(sizes[1] - sizes[0], base)
        dense = sum(map(int, map(np.size, backbone.weights))) + 16 * 10 + 10
        self.assertEqual(capacity.dense_bytes, 4 * dense)
        model.save(self.path)
        # The architecture's JSON is the rest.
        excess = os.path.getsize(self.path) - capacity.total_bytes
        self.assertBetween(excess, 1, 3_000)
        loaded = keras.models.load_model(self.path)
        self.assertEqual(loaded.bank.to_bytes(), model.bank.to_bytes())
        values = [np.asarray(v).tobytes() for v in loaded.switch.base]
        self.assertEqual(values, before)

    @parameterized.parameters(0, 1)
    def test_are_saved_before_any_task_is_stored(self, fits):
        first, backbone = pretrained()
        model = make_model(backbone)
        if fits:
            begin(model, epochs=1)
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        for one, other in zip(
            model.switch.base, loaded.switch.base, strict=True
        ):
            np.testing.assert_array_equal(one, other)
        self.assertLen(loaded.switch.base, len(first.weights))

    def test_weights_frozen_one_by_one(self):
        backbone = mlp(extra=[keras.layers.Dense(16)])
        backbone.layers[0].kernel.trainable = False
        with self.assertRaisesRegex(ValueError, "layer.trainable = False"):
            make_model(backbone)

    def test_parts_frozen_where_the_config_does_not_know_it(self):
        backbone = TwoLayers()
        backbone(np.ones((1, 64)))
        backbone.first.trainable = False
        model = make_model(backbone)
        learn(model, 0)
        with self.assertRaisesRegex(ValueError, "frozen in `__init__`"):
            begin(model, 1)

    def test_thawing_them_is_refused(self):
        first, backbone = pretrained()
        model = make_model(backbone)
        begin(model)
        first.trainable = True
        with self.assertRaisesRegex(ValueError, "were frozen.*stay as they"):
            fit(model)
        first.trainable = False
        fit(model)

    def test_nothing_left_to_train(self):
        _, backbone = pretrained()
        backbone.trainable = False
        with self.assertRaisesRegex(ValueError, "no maskable kernels"):
            make_model(backbone)
