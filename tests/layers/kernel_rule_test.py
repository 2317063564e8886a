import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

import tsn_keras
from tests.digits_tasks import everything, learn, make_model, reloaded
from tests.layers.layer_test_case import LayerTestCase
from tsn_keras.layers import KernelRule, SubnetLSTM, Subnetwork


@keras.saving.register_keras_serializable(package="tests")
def is_wide(variable):
    return variable.shape[-1] > 20


class Positions(layers.Layer):
    """A layer whose weights have names of their own."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=input_shape[1:], name="table")
        self.scale = self.add_weight(shape=(1,), name="scale")

    def call(self, inputs):
        return inputs + self.scale * self.table


def network():
    """Returns kernels of 64x32, 32x24 and 24x16, and a bias of each."""
    sizes = zip(("first", "middle", "last"), (32, 24, 16))
    dense = [layers.Dense(n, "relu", name=name) for name, n in sizes]
    return keras.Sequential([keras.Input((64,)), *dense], name="net")


def two_kinds():
    inputs = keras.Input((6, 4))
    hidden = layers.Bidirectional(layers.GRU(3, return_sequences=True))(inputs)
    return keras.Model(inputs, layers.Dense(5)(Positions()(hidden)))


def names(rule, layer):
    paths = [kernel.path for kernel in KernelRule(rule).find(layer)]
    return [path.split("/")[-1] for path in paths]


class KernelRuleTest(parameterized.TestCase):
    @parameterized.parameters(
        (None, ["kernel", "recurrent_kernel"] * 2 + ["kernel"]),
        ("/(for|back)ward_layer/", ["kernel", "recurrent_kernel", "bias"] * 2),
        ("/recurrent_kernel$|table", ["recurrent_kernel"] * 2 + ["table"]),
        (Positions, ["table"]),
        (layers.Dense, ["kernel"]),
        (
            (layers.Bidirectional, Positions),
            ["kernel", "recurrent_kernel", "bias"] * 2 + ["table"],
        ),
        ([layers.RNN], ["kernel", "recurrent_kernel", "bias"] * 2),
        (lambda variable: variable.shape == (3, 9), ["recurrent_kernel"] * 2),
        (lambda variable: True, None),
    )
    def test_finds(self, rule, expected):
        found = names(rule, two_kinds())
        if expected is None:
            # A GRU's bias has two axes; those of one axis are never kernels.
            expected = ["kernel", "recurrent_kernel", "bias"] * 2
            expected += ["table", "kernel"]
        self.assertEqual(found, expected)

    def test_never_finds_frozen_weights(self):
        layer = network()
        layer.layers[0].trainable = False
        for rule in (None, "kernel", layers.Dense, lambda variable: True):
            paths = [kernel.path for kernel in KernelRule(rule).find(layer)]
            self.assertEqual(paths, ["net/middle/kernel", "net/last/kernel"])

    @parameterized.parameters(
        ("(", ValueError, "no regular expression"),
        ((), ValueError, "empty"),
        (3, TypeError, "must be None"),
        (keras.layers.Dense(2), TypeError, "must be None"),
        (dict, TypeError, "classes of layers"),
        (("dense", layers.Dense), TypeError, "classes of layers.*'dense'"),
    )
    def test_bad_rules(self, rule, error, message):
        with self.assertRaisesRegex(error, message):
            Subnetwork(layers.Dense(2), kernels=rule)
        with self.assertRaisesRegex(error, message):
            tsn_keras.ContinualModel(network(), kernels=rule)


class SubnetworkTest(LayerTestCase):
    @parameterized.parameters("recurrent", layers.Dense)
    def test_as_a_layer(self, rule):
        x = np.ones((2, 6, 4), np.float32)
        inner = keras.Sequential([layers.GRU(3), layers.Dense(5)])
        self.run_layer_test(Subnetwork(inner, kernels=rule), x)

    def test_thin_form(self):
        layer = SubnetLSTM(3, kernels="/kernel$")
        self.run_layer_test(layer, np.ones((2, 6, 4), np.float32))
        self.assertLen(layer.kernels, 1)


class ContinualModelTest(parameterized.TestCase):
    @parameterized.parameters(
        ("/(first|last)/", ["first", "last"]),
        (is_wide, ["first", "middle"]),
        (layers.Dense, ["first", "middle", "last"]),
    )
    def test_finds_the_same_kernels_after_loading(self, rule, expected):
        model = make_model(network(), kernels=rule)
        paths = [f"net/{name}/kernel" for name in expected]
        self.assertEqual(model.bank.paths, paths)
        self.assertEqual(reloaded(model).bank.paths, paths)

    def test_tasks_are_learned_and_loaded(self):
        model = make_model(network(), kernels="/(first|last)/")
        learn(model, 0)
        before = everything(model)[1]
        learn(model, 1)
        self.assertEqual(everything(model)[1][:1], before)
        loaded = reloaded(model)
        self.assertEqual(everything(loaded), everything(model))
        self.assertEqual(loaded.bank.paths, model.bank.paths)
        learn(loaded, 2)

    def test_dense_weights_belong_to_the_task(self):
        model = make_model(network(), kernels="middle")
        learn(model, 0)
        shapes = [value.shape for value in model.bank.private("task 0")]
        self.assertIn((64, 32), shapes)
        self.assertNotIn((32, 24), shapes)

    def test_a_rule_that_finds_nothing(self):
        with self.assertRaisesRegex(ValueError, "choose other `kernels`"):
            make_model(network(), kernels="nothing of this name")

    def test_a_backbone_with_its_own_subnetworks(self):
        backbone = keras.Sequential([keras.Input((4, 4)), SubnetLSTM(3)])
        with self.assertRaisesRegex(ValueError, "Give `kernels` to them"):
            tsn_keras.ContinualModel(backbone, kernels="kernel")
