"""Tests that searches compute earlier layers once, and find the same."""

import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest
from keras import layers

from tests.digits_tasks import (
    VALIDATION,
    begin,
    digits,
    logits,
    make_model,
    mlp,
)
from tsn_keras import ContinualModel, known_activations
from tsn_keras.pruning import MagnitudePruning
from tsn_keras.validation import Validation, evaluation_loop


def deep():
    return mlp(
        24,
        [
            layers.BatchNormalization(),
            layers.Dense(24, activation="relu"),
            layers.Dense(24, activation="relu"),
        ],
    )


def branched():
    inputs = keras.Input((64,))
    first = layers.Dense(16, activation="relu")(inputs)
    second = layers.Dense(16, activation="relu")(first)
    return keras.Model(inputs, layers.Dense(16)(layers.add([first, second])))


def make_deep(backbone=deep):
    keras.utils.set_random_seed(0)
    model = make_model(backbone(), MagnitudePruning(0.5, tolerance=0.1))
    begin(model, epochs=3)
    return model


class KnownActivationsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.worthwhile(0)

    def worthwhile(self, least):
        self.enterContext(
            mock.patch.object(known_activations, "WORTHWHILE", least)
        )

    def test_consolidation_finds_the_same(self):
        stored, computed = [], []
        for least in (0, 10**30):
            self.worthwhile(least)
            model = make_deep()
            with mock.patch.object(
                known_activations.KnownActivations,
                "compute",
                autospec=True,
                side_effect=known_activations.KnownActivations.compute,
            ) as compute:
                model.consolidate(digits(0, VALIDATION), verbose=0)
            computed.append(compute.call_count)
            stored.append(model.bank.to_bytes())
        self.assertEqual(stored[0], stored[1])
        # Once for each kernel but the first.
        self.assertEqual(computed, [2, 0])

    def test_backbone_is_saved_and_exported_as_it_was(self):
        model = make_deep(branched)
        config = model.get_config()
        model.consolidate(digits(0, VALIDATION), verbose=0)
        self.assertNotEmpty(model._functions.known_activations)
        self.assertEqual(model.get_config(), config)
        folder = self.enterContext(tempfile.TemporaryDirectory())
        model.save(f"{folder}/model.keras")
        loaded = keras.models.load_model(f"{folder}/model.keras")
        np.testing.assert_array_equal(logits(loaded, 0), logits(model, 0))
        report = model.export(f"{folder}/task.tflite", format="litert")
        self.assertLess(report.agreement.largest_difference, 1e-4)

    def test_only_what_comes_after_is_computed_again(self):
        model = make_deep()
        known = model._known_activations()
        loop = evaluation_loop(model)
        data = digits(0, VALIDATION)
        validation = Validation(model, data, loop, known=known)
        initial = validation.results()
        kernels = model.installation.kernels
        for mask in model._running.masks:
            mask.kernel.install(mask.effective())
        with validation.searching(kernels[2].kernel):
            self.assertEqual(validation.results(), initial)
            kernels[0].install(np.zeros(kernels[0].shape, np.float32))
            self.assertEqual(validation.results(), initial)
            kernels[2].install(np.zeros(kernels[2].shape, np.float32))
            self.assertNotEqual(validation.results(), initial)
        both = validation.results()
        with validation.searching(kernels[0].kernel):
            self.assertEqual(validation.results(), both)
            kernels[0].install(np.ones(kernels[0].shape, np.float32))
            kernels[2].install(np.ones(kernels[2].shape, np.float32))
            self.assertNotEqual(validation.results(), both)

    def test_whole_network_again_after_an_error(self):
        model = make_deep()
        known = model._known_activations()
        validation = Validation(
            model, digits(0, VALIDATION), evaluation_loop(model), known=known
        )
        kernel = model.installation.kernels[2]
        with self.assertRaises(KeyboardInterrupt):
            with validation.searching(kernel.kernel):
                validation.results()
                raise KeyboardInterrupt
        before = validation.results()
        model.installation.kernels[0].install(
            np.zeros(model.installation.kernels[0].shape, np.float32)
        )
        self.assertNotEqual(validation.results(), before)

    def test_not_where_little_is_spared_or_memory_is_short(self):
        model = make_deep()
        *_, last = model._known_activations()
        kernel = model.installation.kernels[2].kernel
        self.assertTrue(last.serves(kernel, 200))
        self.assertFalse(last.serves(kernel, 10**8))
        self.assertFalse(
            last.serves(model.installation.kernels[0].kernel, 200)
        )
        self.worthwhile(10**10)
        self.assertFalse(last.serves(kernel, 200))

    def test_not_where_a_subclass_may_do_more(self):
        class Scaled(ContinualModel):
            def call(self, inputs, training=None):
                return super().call(inputs / 2, training=training)

        class Tested(ContinualModel):
            def test_step(self, data):
                return super().test_step(data)

        pruning = MagnitudePruning(0.5, tolerance=0.1)
        for kind in (Scaled, Tested):
            model = kind(deep(), pruning)
            self.assertEmpty(model._known_activations())
        self.assertNotEmpty(
            ContinualModel(deep(), pruning)._known_activations()
        )
        self.assertEmpty(ContinualModel(deep())._known_activations())
