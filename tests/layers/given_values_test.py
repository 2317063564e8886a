"""Given values compute to the bit what installed ones do, and stay a view."""

import threading

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tsn_keras.keras_internals import flatten_layers
from tsn_keras.layers import (
    Heads,
    SubnetConv2D,
    SubnetDense,
    SubnetEmbedding,
    Subnetwork,
    call_given,
    computing_with,
)

RNG = np.random.default_rng(0)


class Twice(keras.Model):
    """A subclassed model that calls one block twice, beside plain layers."""

    def __init__(self):
        super().__init__()
        self.block = Subnetwork(
            keras.Sequential([layers.Dense(4), layers.BatchNormalization()])
        )
        self.scale = layers.BatchNormalization()

    def call(self, inputs):
        return self.scale(self.block(self.block(inputs)))


class Within(keras.layers.Layer):
    """Calls a layer with given values within its own call."""

    def __init__(self, layer, given=(), **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self.given = given

    def call(self, inputs):
        with computing_with(self.given):
            return call_given(self.layer, inputs)


def sequential():
    return keras.Sequential(
        [layers.Dense(5, activation="relu"), layers.BatchNormalization()]
    )


def functional():
    inputs = keras.Input((4,))
    one = SubnetDense(5, activity_regularizer="l2")(inputs)
    other = layers.BatchNormalization()(layers.Dense(5)(inputs))
    return keras.Model(inputs, layers.Concatenate()([one, other]))


def nested():
    inner = Subnetwork(keras.Sequential([layers.Dense(3), layers.PReLU()]))
    return Subnetwork(keras.Sequential([layers.Dense(4), inner]))


def convolutional():
    return keras.Sequential(
        [
            layers.Reshape((2, 2, 1)),
            SubnetConv2D(3, 2, padding="same"),
            layers.BatchNormalization(),
        ]
    )


def recurrent():
    return keras.Sequential(
        [layers.Reshape((4, 1)), Subnetwork(layers.LSTM(3)), layers.Dense(2)]
    )


NETWORKS = (
    lambda: Subnetwork(sequential()),
    functional,
    nested,
    convolutional,
    recurrent,
    Twice,
    sequential,
    lambda: Subnetwork(Twice()),
)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def kernels_of(layer):
    found = {}
    for one in flatten_layers(layer):
        for kernel in getattr(one, "kernels", ()):
            found.setdefault(id(kernel.kernel), []).append(kernel)
    return found


def values_of(layer):
    """Returns random values for kernels and private variables."""
    kernels = kernels_of(layer)
    state = {id(v) for ks in kernels.values() for k in ks for v in k.state}
    return [
        (variable, np.abs(normal(*variable.shape)))
        for variable in layer.weights
        if id(variable) not in state
    ]


def install(layer, values):
    kernels = kernels_of(layer)
    for variable, value in values:
        for kernel in kernels.get(id(variable), ()):
            kernel.install(value)
        if id(variable) not in kernels:
            variable.assign(value)


def bits(value):
    return keras.ops.convert_to_numpy(value).tobytes()


class GivenValuesTest(parameterized.TestCase):
    def check(self, layer, x):
        """Compares given with installed values; the first change nothing."""
        call_given(layer, x)
        for kernels in kernels_of(layer).values():
            for kernel in kernels:
                own = normal(*kernel.shape) > 0
                kernel.own_mask.assign(own)
                kernel.fixed.assign(np.where(own, 0, normal(*kernel.shape)))
        values = values_of(layer)
        before = list(map(bits, layer.variables))
        own = bits(layer(x))
        with computing_with(values):
            eager = bits(call_given(layer, x))
        # As variables: TensorFlow computes with constants beforehand.
        with computing_with([(v, tf.Variable(value)) for v, value in values]):
            traced = bits(tf.function(lambda: call_given(layer, x))())
        self.assertEqual(list(map(bits, layer.variables)), before)
        self.assertEqual(bits(layer(x)), own)
        install(layer, values)
        self.assertEqual(eager, bits(layer(x)))
        self.assertEqual(traced, bits(tf.function(lambda: layer(x))()))
        self.assertNotEqual(eager, own)

    @parameterized.product(
        network=NETWORKS, policy=("float32", "mixed_bfloat16", "mixed_float16")
    )
    def test_the_same_bits_as_installed(self, network, policy):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            self.check(network(), normal(3, 4))
        finally:
            keras.config.set_dtype_policy(before)

    @parameterized.parameters(lambda layer: layer, Subnetwork)
    def test_float32_layers_in_a_mixed_network(self, wrapped):
        layer = keras.Sequential(
            [
                layers.Dense(4, dtype="mixed_bfloat16"),
                wrapped(layers.Dense(4, dtype="float32")),
                layers.LayerNormalization(dtype="float32"),
            ]
        )
        self.check(Within(layer, dtype="mixed_bfloat16"), normal(3, 4))

    def test_embeddings(self):
        tokens = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
        self.check(
            keras.Sequential(
                [
                    SubnetEmbedding(10, 4, mask_zero=True),
                    Subnetwork(layers.GRU(3)),
                ]
            ),
            tokens,
        )

    def test_wrapped_networks_need_no_other_call(self):
        layer = Subnetwork(sequential())
        x = normal(3, 4)
        layer(x)
        values = values_of(layer)
        with computing_with(values):
            found = bits(layer(x))
        install(layer, values)
        self.assertEqual(found, bits(layer(x)))

    def test_heads(self):
        inner = keras.Sequential([layers.Dense(4), layers.BatchNormalization()])
        heads = Heads([layers.Dense(3), inner])
        x = normal(3, 4)
        for index in (0, 1):
            heads.select(index)
            heads(x)
            values = [(v, np.abs(normal(*v.shape))) for v in heads.weights]
            own = bits(heads(x))
            with computing_with(values):
                found = bits(heads(x))
            self.assertEqual(bits(heads(x)), own)
            for variable, value in values:
                variable.assign(value)
            self.assertEqual(found, bits(heads(x)))

    def test_some_values_only(self):
        layer = Subnetwork(layers.Dense(2))
        x = normal(3, 4)
        layer(x)
        layer.kernels[0].install(normal(4, 2))
        bias = normal(2)
        with computing_with([(layer.layer.bias, bias)]):
            found = bits(layer(x))
        layer.layer.bias.assign(bias)
        self.assertEqual(found, bits(layer(x)))

    def test_variables_are_read_at_each_call(self):
        layer = Subnetwork(layers.Dense(2, use_bias=False))
        x = np.ones((1, 3), np.float32)
        layer(x)
        kernel = layer.kernels[0].kernel
        for held in (
            tf.Variable(tf.ones((3, 2))),
            keras.Variable(np.ones((3, 2), np.float32)),
        ):
            with computing_with([(kernel, held)]):
                function = tf.function(layer)
                function(x)
            held.assign(np.full((3, 2), 2.0, np.float32))
            np.testing.assert_array_equal(function(x), [[6.0, 6.0]])

    def test_variables_of_mixed_precision_are_not_rounded(self):
        inner = layers.LayerNormalization(dtype="float32")
        x, held = normal(2, 4), keras.Variable(normal(4))
        inner(x)
        given = [(inner.gamma, held)]
        found = bits(Within(inner, given, dtype="mixed_bfloat16")(x))
        inner.gamma.assign(held)
        plain = Within(inner, dtype="mixed_bfloat16")
        self.assertEqual(found, bits(plain(x)))

    def test_inner_values_come_first(self):
        layer = Subnetwork(layers.Dense(1, use_bias=False))
        x = np.ones((1, 1), np.float32)
        layer(x)
        kernel = layer.kernels[0].kernel
        with computing_with([(kernel, np.float32([[2.0]]))]):
            with computing_with([(kernel, np.float32([[3.0]]))]):
                self.assertEqual(float(layer(x)[0, 0]), 3.0)
            self.assertEqual(float(layer(x)[0, 0]), 2.0)

    def test_nothing_is_given_after_an_error(self):
        layer = Subnetwork(layers.Dense(2))
        x = normal(1, 3)
        own = bits(layer(x))
        with self.assertRaises(KeyError):
            with computing_with(values_of(layer)):
                raise KeyError
        self.assertEqual(bits(layer(x)), own)

    def test_another_thread_sees_nothing(self):
        layer = Subnetwork(layers.Dense(2))
        x = normal(1, 3)
        own, found = bits(layer(x)), []
        with computing_with(values_of(layer)):
            thread = threading.Thread(
                target=lambda: found.append(bits(call_given(layer, x)))
            )
            thread.start()
            thread.join()
            self.assertNotEqual(bits(layer(x)), own)
        self.assertEqual(found, [own])

    @parameterized.parameters(Twice, lambda: Subnetwork(Twice()), nested)
    def test_a_view_cannot_be_changed(self, network):
        layer = network()
        x = normal(8, 4)
        call_given(layer, x)
        values = values_of(layer)
        before = list(map(bits, layer.variables))
        with computing_with(values):
            call_given(layer, x, training=True)
        self.assertEqual(list(map(bits, layer.variables)), before)

    def test_what_is_not_given_changes_as_usual(self):
        layer = keras.Sequential(
            [layers.BatchNormalization(), Subnetwork(layers.Dropout(0.5))]
        )
        x = normal(8, 4)
        layer(x)
        seed = layer.layers[1].layer.seed_generator.state
        held = [(layer.layers[0].gamma, np.ones(4, np.float32))]
        before = bits(seed), bits(layer.layers[0].moving_mean)
        with computing_with(held):
            call_given(layer, x, training=True)
        self.assertNotEqual(bits(seed), before[0])
        self.assertNotEqual(bits(layer.layers[0].moving_mean), before[1])

    def test_losses(self):
        layer = functional()
        x = normal(3, 4)
        layer(x)
        values = values_of(layer)
        with computing_with(values):
            call_given(layer, x)
        (found,) = layer.losses
        install(layer, values)
        layer(x)
        self.assertEqual(bits(found), bits(layer.losses[0]))

    def test_regularizers_see_the_given_kernel(self):
        layer = SubnetDense(2, kernel_regularizer="l2")
        layer(normal(3, 4))
        kernel = layer.kernels[0].kernel
        value = normal(4, 2)
        with computing_with([(kernel, value)]):
            (found,) = layer.losses
        self.assertEqual(bits(found), bits(keras.regularizers.L2()(value)))

    @parameterized.parameters(True, False)
    def test_stateless_calls_of_keras(self, nests):
        layer = nested() if nests else Subnetwork(sequential())
        x = normal(3, 4)
        layer(x)
        trainable = [normal(*v.shape) for v in layer.trainable_variables]
        rest = list(map(keras.ops.copy, layer.non_trainable_variables))
        found, _ = layer.stateless_call(trainable, rest, x)
        for variable, value in zip(layer.trainable_variables, trainable):
            variable.assign(value)
        self.assertEqual(bits(found), bits(layer(x)))

    def test_a_block_that_is_called_twice(self):
        """Its moving statistics take in both calls, within a scope as well."""
        x = normal(8, 4)
        first, second = Twice(), Subnetwork(Twice())
        first(x), second(x)
        for one, other in zip(first.weights, second.layer.weights):
            other.assign(one)
        first(x, training=True), second(x, training=True)
        for one, other in zip(first.weights, second.layer.weights):
            self.assertEqual(bits(one), bits(other), one.path)
