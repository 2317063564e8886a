"""Tests of configurations and of `keras.models.clone_model`."""

import copy
import json
import pickle

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

import tsn_keras
from tests.digits_tasks import (
    TRAIN,
    begin,
    consolidate,
    digits,
    everything,
    fit,
    learn,
    make_model,
    mlp,
)
from tsn_keras.layers import SubnetDense, Subnetwork


@keras.saving.register_keras_serializable(package="tests")
def is_wide_kernel(variable):
    return variable.shape[-1] > 20


RULES = (None, "dense", layers.Dense, is_wide_kernel)


class ConfigTest(parameterized.TestCase):
    @parameterized.parameters(*RULES)
    def test_holds_what_the_model_was_made_with(self, kernels):
        model = make_model(mlp(), kernels=kernels, pruning="scores")
        config = model.get_config()
        arguments = ("backbone", "pruning", "quantization", "sharing", "seed")
        self.assertContainsSubset((*arguments, "kernels", "name"), config)
        self.assertEqual(config["backbone"]["class_name"], "Sequential")
        again = tsn_keras.ContinualModel.from_config(config)
        self.assertEqual(again.get_config(), model.get_config())
        self.assertEqual(again.bank.paths, model.bank.paths)
        serialized = keras.saving.serialize_keras_object(model)
        revived = keras.saving.deserialize_keras_object(
            json.loads(json.dumps(serialized))
        )
        self.assertEqual(revived.bank.paths, model.bank.paths)

    @parameterized.parameters(
        lambda: Subnetwork(mlp(), kernels="dense", name="mine"),
        lambda: keras.Sequential([keras.Input((64,)), SubnetDense(16)]),
    )
    def test_of_backbones_that_hold_subnetworks(self, make):
        model = make_model(make())
        config = model.get_config()
        self.assertIsNone(config["kernels"])
        again = tsn_keras.ContinualModel.from_config(config)
        self.assertEqual(again.get_config(), model.get_config())
        self.assertEqual(again.bank.paths, model.bank.paths)


class CopyTest(parameterized.TestCase):
    def test_copies_learn_on_by_themselves(self):
        model = make_model()
        learn(model, 0)
        begin(model, 1, epochs=1)
        before = everything(model)
        for other in (
            copy.deepcopy(model),
            pickle.loads(pickle.dumps(model)),
        ):
            self.assertEqual(other.tasks, ("task 0", "task 1"))
            self.assertEqual(everything(other), before)
            fit(other, 1)
            consolidate(other, 1)
            self.assertEqual(everything(model), before)
        consolidate(model, 1)


class CloneTest(parameterized.TestCase):
    @parameterized.parameters(*RULES)
    def test_has_the_same_kernels(self, kernels):
        model = make_model(mlp(), kernels=kernels)
        clone = keras.models.clone_model(model)
        self.assertIsInstance(clone, tsn_keras.ContinualModel)
        self.assertEqual(clone.bank.paths, model.bank.paths)

    def test_is_an_untrained_model_of_the_same_kind(self):
        model = make_model(mlp(), kernels=is_wide_kernel)
        learn(model, 0)
        before = everything(model)
        clone = keras.models.clone_model(model)
        self.assertEqual(clone.tasks, ())
        self.assertEqual(clone.bank.paths, model.bank.paths)
        self.assertEqual(clone.pruning.get_config(), model.pruning.get_config())
        # Keras compiles a clone as the original was.
        learn(clone, 1)
        self.assertEqual(everything(model), before)

    def test_of_a_backbone_serves_another_model(self):
        backbone = mlp()
        model = make_model(backbone)
        clone = keras.models.clone_model(backbone)
        clone.set_weights(backbone.get_weights())
        other = make_model(clone)
        for one, two in zip((model, other), (0, 0)):
            begin(one, two, epochs=1)
        np.testing.assert_array_equal(
            *(one.switch.kernels[0].kernel for one in (model, other))
        )

    def test_of_a_functional_model_with_subnetworks(self):
        inputs = keras.Input((64,))
        hidden = SubnetDense(8, "relu")(inputs)
        hidden = Subnetwork(layers.Dense(4), kernels="dense")(hidden)
        model = keras.Model(inputs, hidden)
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        x, _ = digits(0, TRAIN)
        np.testing.assert_array_equal(model(x), clone(x))
