import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.layers.layer_test_case import LayerTestCase
from tsn_keras.layers import (
    SubnetDense,
    SubnetEmbedding,
    Subnetwork,
    is_named_as_kernel,
)


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Residual(keras.Model):
    """A subclassed model, with a nested one."""

    def __init__(self):
        super().__init__()
        self.widen = layers.Dense(6, activation="relu")
        self.inner = keras.Sequential([layers.Dense(6), layers.Dense(6)])

    def call(self, inputs):
        widened = self.widen(inputs)
        return widened + self.inner(widened)


class Branches(keras.Model):
    """A subclassed model of a dict of inputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right = layers.Dense(3), layers.Dense(3)

    def call(self, inputs):
        return self.left(inputs["left"]) + self.right(inputs["right"])


def sequential():
    return keras.Sequential(
        [layers.Dense(5, activation="tanh"), layers.Dense(2)]
    )


def functional():
    inputs = keras.Input((4,))
    one = layers.Dense(5, activation="relu")(inputs)
    other = layers.Dense(5)(inputs)
    return keras.Model(inputs, layers.Concatenate()([one, other]))


def shared():
    layer = layers.Dense(4)
    inputs = keras.Input((4,))
    return keras.Model(inputs, layer(layer(inputs)))


def attention():
    inputs = keras.Input((4,))
    steps = layers.Reshape((4, 1))(inputs)
    return keras.Model(inputs, layers.MultiHeadAttention(2, 3)(steps, steps))


def recurrent():
    return keras.Sequential([layers.Reshape((4, 1)), layers.LSTM(3)])


NETWORKS = (
    (sequential, 2),
    (functional, 2),
    (shared, 1),
    (attention, 4),
    (recurrent, 2),
    (Residual, 3),
)
OPTIMIZERS = (
    lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    lambda: keras.optimizers.Adam(0.1),
    lambda: keras.optimizers.AdamW(0.1, weight_decay=0.5),
)


class SubnetworkTest(LayerTestCase):
    @parameterized.parameters(*NETWORKS)
    def test_is_the_wrapped_layer_while_dense(self, network, num_kernels):
        inner = network()
        layer = Subnetwork(inner)
        x = normal((3, 4))
        np.testing.assert_array_equal(layer(x), inner(x))
        self.assertLen(layer.kernels, num_kernels)
        for kernel in layer.kernels:
            self.assertTrue(is_named_as_kernel(kernel.kernel))
            self.assertTrue(kernel.kernel.trainable)
            self.assertGreaterEqual(kernel.kernel.ndim, 2)

    @parameterized.product(network=NETWORKS, learned_scores=(False, True))
    def test_computes_with_the_effective_kernels(self, network, learned_scores):
        inner = network[0]()
        layer = Subnetwork(inner, learned_scores=learned_scores)
        x = normal((3, 4))
        layer(x)
        before = inner.get_weights()
        for seed, kernel in enumerate(layer.kernels):
            own = normal(kernel.shape, seed) > 0
            kernel.own_mask.assign(own)
            kernel.fixed.assign(np.where(own, 0, normal(kernel.shape, 9)))
        effective = [np.asarray(k.effective()) for k in layer.kernels]
        found = np.asarray(layer(x))
        for one, other in zip(before, inner.get_weights()):
            np.testing.assert_array_equal(one, other)
        for kernel, value in zip(layer.kernels, effective):
            kernel.kernel.assign(value)
        np.testing.assert_array_equal(found, inner(x))

    @parameterized.product(optimizer=OPTIMIZERS, learned_scores=(False, True))
    def test_frozen_and_masked_slots_never_move(
        self, optimizer, learned_scores
    ):
        inner = sequential()
        layer = Subnetwork(inner, learned_scores=learned_scores)
        x, y = normal((32, 4)), normal((32, 2), 1)
        layer(x)
        for seed, kernel in enumerate(layer.kernels):
            part = np.random.default_rng(seed).integers(0, 3, kernel.shape)
            kernel.own_mask.assign(part == 0)
            fixed = np.where(part == 1, normal(kernel.shape, 5), 0)
            kernel.fixed.assign(fixed)
        masks = [np.asarray(k.own_mask) for k in layer.kernels]
        before = [np.asarray(k.effective()) for k in layer.kernels]
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile(optimizer(), "mse")
        model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        for kernel, own, value in zip(layer.kernels, masks, before):
            np.testing.assert_array_equal(kernel.own_mask, own)
            after = np.asarray(kernel.effective())
            self.assertEqual(after[~own].tobytes(), value[~own].tobytes())
            self.assertTrue((after[own] != value[own]).any())

    def test_gradient_of_masked_and_frozen_slots_is_zero(self):
        layer = SubnetDense(3)
        x = normal((8, 4))
        layer(x)
        (kernel,) = layer.kernels
        own = normal((4, 3)) > 0
        kernel.own_mask.assign(own)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(x)))
        gradient = np.asarray(tape.gradient(loss, kernel.kernel.value))
        np.testing.assert_array_equal(gradient[~own], 0)
        self.assertTrue((gradient[own] != 0).all())
        self.assertNotIn(
            id(kernel.fixed), [id(v) for v in layer.trainable_variables]
        )

    def test_moving_statistics(self):
        plain = keras.Sequential([layers.Dense(3), layers.BatchNormalization()])
        layer = Subnetwork(keras.models.clone_model(plain))
        x = normal((16, 4)) + 2
        plain(x)
        layer(x)
        layer.layer.set_weights(plain.get_weights())
        for _ in range(2):
            np.testing.assert_array_equal(
                layer(x, training=True), plain(x, training=True)
            )
        for one, other in zip(layer.layer.get_weights(), plain.get_weights()):
            np.testing.assert_array_equal(one, other)
        before = layer.layer.get_weights()
        layer(x)
        for one, other in zip(layer.layer.get_weights(), before):
            np.testing.assert_array_equal(one, other)

    def test_dropout_seed_moves_on(self):
        layer = Subnetwork(layers.Dropout(0.5, seed=1))
        plain = layers.Dropout(0.5, seed=1)
        x = np.ones((50, 4), np.float32)
        first = np.asarray(layer(x, training=True))
        second = np.asarray(layer(x, training=True))
        self.assertTrue((first != second).any())
        np.testing.assert_array_equal(first, plain(x, training=True))
        np.testing.assert_array_equal(second, plain(x, training=True))
        np.testing.assert_array_equal(layer(x), x)

    def test_frozen_layer_keeps_its_kernels(self):
        layer = SubnetDense(3)
        x = normal((2, 4))
        layer(x)
        (kernel,) = layer.kernels
        before = np.asarray(kernel.kernel)
        layer.trainable = False
        kernel.install(np.zeros((4, 3), np.float32))
        np.testing.assert_array_equal(layer(x), np.zeros((2, 3)))
        np.testing.assert_array_equal(kernel.kernel, before)

    def test_activity_regularizer_counts(self):
        plain = layers.Dense(3, activity_regularizer="l2")
        layer = SubnetDense(3, activity_regularizer="l2")
        x = normal((5, 4))
        layer(x)
        plain(x)
        plain.set_weights(layer.layer.get_weights())
        plain(x)
        self.assertLen(layer.losses, 1)
        np.testing.assert_allclose(layer.losses, plain.losses, rtol=1e-6)
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile("sgd", "mse")
        loss = model.evaluate(x, np.asarray(layer(x)), verbose=0)
        np.testing.assert_allclose(loss, plain.losses[0], rtol=1e-5)

    def test_weight_regularizer_sees_the_effective_kernel(self):
        layer = SubnetDense(3, kernel_regularizer="l2", bias_regularizer="l1")
        layer(normal((5, 4)))
        (kernel,) = layer.kernels
        kernel.install(normal(kernel.shape, 3))
        expected = keras.regularizers.L2()(kernel.effective())
        for network in (layer, keras.Sequential([layer])):
            self.assertEqual(float(sum(network.losses)), float(expected))
        # Another subnetwork of the same layer takes its place.
        layer = Subnetwork(layer.layer)
        layer(normal((5, 4)))
        layer.kernels[0].install(np.zeros(kernel.shape, np.float32))
        self.assertEqual(float(sum(layer.losses)), 0.0)

    def test_a_layer_that_assigns_to_its_kernel(self):
        def spectral():
            return layers.SpectralNormalization(layers.Dense(3))

        x = normal((5, 4))
        layer = Subnetwork(spectral())
        layer(x)
        with self.assertRaisesRegex(ValueError, "assigns.*/kernel.*`kernels`"):
            layer(x, training=True)
        # Left out, it is a weight like any other.
        layer = Subnetwork(spectral(), kernels="nothing")
        layer(x)
        plain = spectral()
        plain(x)
        plain.set_weights(layer.layer.get_weights())
        for _ in range(2):
            np.testing.assert_array_equal(
                layer(x, training=True), plain(x, training=True)
            )
        np.testing.assert_array_equal(layer(x), plain(x))

    def test_masks_of_time_steps(self):
        tokens = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
        layer = SubnetEmbedding(10, 4, mask_zero=True)
        np.testing.assert_array_equal(layer.compute_mask(tokens), tokens != 0)
        model = keras.Sequential([layer, Subnetwork(layers.LSTM(3))])
        found = model(tokens)
        np.testing.assert_allclose(
            found[0], model(tokens[:1, :2])[0], atol=1e-6
        )
        dense = keras.Sequential([layer, SubnetDense(3), layers.LSTM(3)])
        np.testing.assert_allclose(
            dense(tokens)[0], dense(tokens[:1, :2])[0], atol=1e-6
        )

    def test_dict_of_inputs(self):
        layer = Subnetwork(Branches())
        x = {"left": normal((2, 4)), "right": normal((2, 5))}
        np.testing.assert_array_equal(layer(x), layer.layer(x))
        self.assertCountEqual(
            [k.shape for k in layer.kernels], [(4, 3), (5, 3)]
        )

    def test_built_attention_of_two_inputs(self):
        inner = layers.MultiHeadAttention(2, 3)
        x, context = normal((2, 5, 4)), normal((2, 6, 4), 1)
        expected = np.asarray(inner(x, context))
        layer = Subnetwork(inner)
        np.testing.assert_array_equal(layer(x, context), expected)
        self.assertLen(layer.kernels, 4)

    @parameterized.parameters("mixed_bfloat16", "mixed_float16")
    def test_mixed_precision(self, policy):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            inner = sequential()
            layer = Subnetwork(inner)
            model = keras.Sequential([layer])
            x, y = normal((16, 4)), normal((16, 2), 1)
            self.assertEqual(layer(x).dtype, policy.removeprefix("mixed_"))
            np.testing.assert_array_equal(layer(x), inner(x))
            (kernel, _) = layer.kernels
            self.assertEqual(kernel.fixed.dtype, "float32")
            self.assertEqual(kernel.effective().dtype, "float32")
            own = normal(kernel.shape) > 0
            kernel.own_mask.assign(own)
            kernel.fixed.assign(np.where(own, 0, normal(kernel.shape, 5)))
            frozen = np.asarray(kernel.effective())
            model.compile("adam", "mse")
            model.fit(x, y, epochs=2, verbose=0)
            after = np.asarray(kernel.effective())
            np.testing.assert_array_equal(after[~own], frozen[~own])
            self.assertTrue((after[own] != frozen[own]).all())
        finally:
            keras.config.set_dtype_policy(before)

    @parameterized.product(learned_scores=(False, True))
    def test_as_a_layer(self, learned_scores):
        layer = Subnetwork(sequential(), learned_scores=learned_scores)
        self.run_layer_test(layer, normal((3, 4)))

    def test_jit_compiled_and_steps_per_execution(self):
        layer = SubnetDense(2)
        model = keras.Sequential([keras.Input((4,)), layer])
        model.compile("sgd", "mse", jit_compile=True, steps_per_execution=2)
        x, y = normal((16, 4)), normal((16, 2), 1)
        before = np.asarray(layer.kernels[0].kernel)
        model.fit(x, y, batch_size=4, verbose=0)
        self.assertTrue((np.asarray(layer.kernels[0].kernel) != before).all())

    def test_embeddings_and_kernels_only(self):
        network = keras.Sequential(
            [layers.Embedding(5, 4), layers.LayerNormalization(), layers.GRU(3)]
        )
        layer = Subnetwork(network)
        layer(np.zeros((2, 3)))
        names = [kernel.path.split("/")[-1] for kernel in layer.kernels]
        self.assertEqual(names, ["embeddings", "kernel", "recurrent_kernel"])
