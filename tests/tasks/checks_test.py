"""Tests that backbones that cannot be learned with are refused clearly."""

import gc
import weakref

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import (
    TRAIN,
    begin,
    consolidate,
    digits,
    fit,
    learn,
    make_model,
    mlp,
)
from tsn_keras.keras_internals import raw_value
from tsn_keras.tasks.checks import check_reads

X, Y = digits(0, TRAIN)


class TensorFlowVariable(layers.Layer):
    def build(self, input_shape):
        start = tf.random.normal((input_shape[-1], 8))
        self.kernel = tf.Variable(start, name="kernel")

    def call(self, inputs):
        return inputs @ self.kernel


class ReadsCopy(layers.Layer):
    def build(self, input_shape):
        shape = (input_shape[-1], 8)
        self.kernel = self.add_weight(shape=shape, name="kernel")
        self.copy = tf.identity(self.kernel.value)

    def call(self, inputs):
        return inputs @ self.copy


class ReadsPrivately(layers.Layer):
    def build(self, input_shape):
        shape = (input_shape[-1], 8)
        self.kernel = self.add_weight(shape=shape, name="kernel")

    def call(self, inputs):
        return tf.matmul(inputs, raw_value(self.kernel))


def followed_by_dense(layer):
    return keras.Sequential([keras.Input((64,)), layer, layers.Dense(8)])


class ReadsTest(parameterized.TestCase):
    @parameterized.parameters(
        (TensorFlowVariable, "reads .*kernel.*no Keras variables.*add_weight"),
        (ReadsCopy, r"reads_copy/kernel'\] are not read.*`kernels`"),
        (ReadsPrivately, r"reads_privately/kernel'\] are not read"),
    )
    def test_kernels_that_keras_does_not_see_read(self, layer, message):
        model = make_model(followed_by_dense(layer()))
        with self.assertRaisesRegex(ValueError, message):
            begin(model)
        self.assertFalse(model.running_task.begun)

    def test_they_can_be_left_out(self):
        model = make_model(followed_by_dense(ReadsCopy()), kernels=layers.Dense)
        learn(model)

    def test_nothing_happens_to_the_backbone(self):
        backbone = mlp(extra=[layers.BatchNormalization(), layers.Dropout(0.5)])
        backbone.add(layers.Dense(4, activity_regularizer="l2"))
        model = make_model(backbone)
        before = [np.array(v) for v in backbone.variables]
        switch = model.switch
        check_reads(model.backbone, switch.kernels, switch.inputs)
        for variable, value in zip(backbone.variables, before):
            np.testing.assert_array_equal(variable, value)
        self.assertEmpty(model.losses)


class HiddenVariable(layers.Layer):
    """Keeps a Keras variable where Keras does not look for it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = Hidden()

    def call(self, inputs):
        self.hidden.count.assign_add(1.0)
        return inputs * self.hidden.count


class Hidden:
    def __init__(self):
        self.count = keras.Variable(0.0, trainable=False, name="count")


class CountsWithTensorFlow(layers.Layer):
    """Assigns to a variable of TensorFlow, perhaps in inference only."""

    def __init__(self, when=None, inner=False, **kwargs):
        super().__init__(**kwargs)
        self.when, self.inner = when, inner
        self.count = tf.Variable(0.0, trainable=False, name="count")

    def call(self, inputs, training=False):
        if self.when in (None, training):
            if self.inner:
                tf.function(lambda: self.count.assign_add(1.0))()
            else:
                self.count.assign_add(1.0)
        return inputs

    def get_config(self):
        more = {"when": self.when, "inner": self.inner}
        return {**super().get_config(), **more}


class FillsTable(layers.Layer):
    def __init__(self):
        super().__init__(name="counts")
        self.table = tf.lookup.experimental.MutableHashTable(
            tf.int64, tf.float32, 0.0
        )

    def call(self, inputs):
        keys = tf.cast(inputs[:, 0], tf.int64)
        self.table.insert(keys, tf.cast(keys, tf.float32))
        return inputs


class Listed(layers.Layer):
    """Has all states that a layer may have."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(1)
        self.mean = keras.metrics.Mean(name="inside")
        self.noise = tf.random.Generator.from_seed(1)

    def build(self, input_shape):
        self.calls = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="calls"
        )
        self.built = True

    def call(self, inputs, training=False):
        self.calls.assign_add(1.0)
        self.mean.update_state(inputs)
        noise = keras.random.uniform((1,), seed=self.seeds)
        noise += keras.random.uniform((1,)) + self.noise.uniform((1,))
        return inputs + 1e-6 * noise


class StatesTest(parameterized.TestCase):
    @parameterized.parameters(
        lambda: layers.GRU(8, stateful=True),
        lambda: layers.RNN(layers.LSTMCell(4), stateful=True),
        lambda: layers.Bidirectional(layers.LSTM(4, stateful=True)),
        lambda: keras.Sequential([layers.SimpleRNN(4, stateful=True)]),
        lambda: layers.ConvLSTM1D(4, 1, stateful=True),
    )
    def test_stateful_layers_are_refused_at_once(self, layer):
        message = "has stateful=True.*stateful=False.*initial_state"
        for backbone in (layer(), keras.Sequential([layer()])):
            with self.assertRaisesRegex(ValueError, message):
                make_model(backbone)
        model = make_model(mlp(extra=[layers.Reshape((8, 4))]))
        with self.assertRaisesRegex(ValueError, message):
            model.add_task("a", layer())
        self.assertEmpty(model.tasks)

    @parameterized.named_parameters(
        ("hidden", HiddenVariable),
        ("always", CountsWithTensorFlow),
        ("training", lambda: CountsWithTensorFlow(True)),
        ("inference", lambda: CountsWithTensorFlow(False)),
        ("function", lambda: CountsWithTensorFlow(None, True)),
        ("table", FillsTable),
    )
    def test_what_is_assigned_past_keras(self, layer):
        message = "assigns to .*count.*no task could keep.*add_weight"
        model = make_model(followed_by_dense(layer()))
        with self.assertRaisesRegex(ValueError, message):
            begin(model)
        self.assertFalse(model.running_task.begun)
        model = make_model()
        model.add_task("a", keras.Sequential([layer(), layers.Dense(10)]))
        with self.assertRaisesRegex(ValueError, message):
            fit(model)
        self.assertFalse(model.running_task.begun)

    def test_states_that_keras_lists(self):
        inside = Listed()
        model = make_model(followed_by_dense(inside))
        history = begin(model).history
        self.assertEqual(float(inside.calls), 26)
        self.assertGreater(float(inside.mean.result()), 0.1)
        self.assertIn("inside", history)
        consolidate(model)

    def test_random_numbers_without_a_seed_go_on(self):
        found = []
        noise = layers.Lambda(
            lambda x: x + keras.random.uniform((1,)), output_shape=(64,)
        )
        model = make_model(followed_by_dense(noise))
        learn(model)
        for _ in range(2):
            found.append(model.predict(X[:1], verbose=0))
        self.assertGreater(np.abs(found[0] - found[1]).max(), 0)


class DtypesTest(parameterized.TestCase):
    @parameterized.parameters("float64", "float16", "bfloat16")
    def test_floats_of_another_width(self, dtype):
        backbone = mlp(extra=[layers.Dense(4, dtype=dtype, name="odd")])
        message = f"odd/kernel' is {dtype}.*dtype='float32'.*mixed_"
        with self.assertRaisesRegex(ValueError, message):
            make_model(backbone)

    def test_integers(self):
        backbone = mlp(extra=[layers.Dense(8, name="small")])
        backbone.layers[-1].quantize("int8")
        message = "kernel' is int8.*only float.*freeze"
        with self.assertRaisesRegex(ValueError, message):
            make_model(backbone)
        backbone.layers[-1].trainable = False
        learn(make_model(backbone))


class OwnersTest(parameterized.TestCase):
    def test_backbone_of_two_models(self):
        backbone = mlp()
        first = make_model(backbone)
        message = "Layer 'dense.*belongs to the ContinualModel.*clone_model"
        with self.assertRaisesRegex(ValueError, message):
            make_model(backbone)
        with self.assertRaisesRegex(ValueError, message):
            make_model(keras.Sequential([backbone, layers.Dense(3)]))
        learn(first)
        del first
        learn(make_model(backbone))

    def test_frozen_parts_may_be_shared(self):
        base = keras.Sequential([keras.Input((64,)), layers.Dense(16)])
        base.trainable = False
        models = [
            make_model(keras.Sequential([base, layers.Dense(16)]))
            for _ in range(2)
        ]
        for model in models:
            learn(model)

    def test_a_model_that_was_refused_owns_nothing(self):
        backbone = mlp()
        with self.assertRaisesRegex(ValueError, "no maskable kernels"):
            make_model(backbone, kernels="nothing")
        make_model(backbone)


class OptimizersTest(parameterized.TestCase):
    @parameterized.parameters("float32", "mixed_float16")
    def test_optimizer_of_another_model(self, policy):
        before = keras.config.dtype_policy()
        self.addCleanup(keras.config.set_dtype_policy, before)
        keras.config.set_dtype_policy(policy)
        optimizer = keras.optimizers.Adam(0.01)
        other = keras.Sequential([keras.Input((64,)), layers.Dense(10)])
        other.compile(optimizer, "mse")
        other.fit(X, np.eye(10)[Y], verbose=0)
        message = "'adam.*' has been used.*new one"
        with self.assertRaisesRegex(ValueError, message):
            make_model(optimizer=optimizer)
        mine = keras.optimizers.Adam(0.01)
        model = make_model(optimizer=mine)
        begin(model)
        # Compiling again, as for another metric, is no other model.
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(mine, loss, metrics=["sparse_categorical_accuracy"])
        fit(model)
        with self.assertRaisesRegex(ValueError, "has been used"):
            make_model(mlp(8), optimizer=mine)


class HeadsTest(parameterized.TestCase):
    @parameterized.parameters(True, False)
    def test_head_of_inputs_that_the_backbone_does_not_give(self, built):
        features = [keras.Input((32,)), keras.Input((3,))]
        head = keras.Model(features, layers.Concatenate()(features))
        backbone = mlp() if built else layers.Dense(32)
        model = make_model(backbone)
        message = r"does not fit the backbone's features of shape \[\(None, 32"
        with self.assertRaisesRegex(ValueError, message):
            model.add_task("a", head)
            model.fit(X, Y, verbose=0)
        if not built:
            model.discard_task()
        learn(model)

    def test_heads_that_stand_for_others_are_not_kept(self):
        model = make_model()
        learn(model)
        head = layers.Dense(10)
        gone = weakref.ref(head)
        model.add_task("again", head)
        model.discard_task()
        del head
        gc.collect()
        self.assertIsNone(gone())
