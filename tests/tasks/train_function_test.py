"""Tests for the function that runs training steps."""

import contextlib
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import TRAIN, digits, make_model, mlp
from tsn_keras import ContinualModel, keras_internals
from tsn_keras.pruning import MagnitudePruning, ScorePruning
from tsn_keras.tasks import train_function
from tsn_keras.tasks.train_function import make_step_function

X, Y = digits(0, TRAIN)


class StepFunctionTest(parameterized.TestCase):
    @parameterized.parameters((MagnitudePruning, True), (ScorePruning, False))
    def test_learns_as_with_keras_function(self, pruning, jit_compile):
        learned = []

        def own(model, step, tracing):
            return keras_internals.multi_step_function(model, step)

        for function in (make_step_function, own):
            keras.utils.set_random_seed(0)
            model = make_model(mlp(16), pruning(0.8), jit_compile=jit_compile)
            model.add_task("a", layers.Dense(10))
            with mock.patch.object(
                train_function, "make_step_function", function
            ):
                # Its last batch is smaller.
                model.fit(X, Y, batch_size=48, epochs=2, verbose=0)
            learned.append(model.get_weights())
        for ours, theirs in zip(*learned):
            np.testing.assert_array_equal(ours, theirs)

    @parameterized.parameters(
        {"steps_per_execution": 3}, {"run_eagerly": True}
    )
    def test_keras_function_where_no_trace_serves(self, **options):
        model = make_model(mlp(16), **options)
        self.assert_kerass_own(model)

    def test_keras_function_for_replicas(self):
        with tf.distribute.MirroredStrategy(["cpu:0"]).scope():
            self.assert_kerass_own(make_model(mlp(16)))

    def assert_kerass_own(self, model):
        with mock.patch.object(
            keras_internals, "multi_step_function"
        ) as make:
            step, nothing = model.train_step, contextlib.nullcontext()
            function = make_step_function(model, step, nothing)
        iterator = iter(tf.data.Dataset.range(3))
        found = function(iterator)
        self.assertIs(found, make.return_value.return_value)
        make.return_value.assert_called_once_with(iterator)

    def test_as_many_traces_as_kinds_of_batches(self):
        traces = []

        class Traced(ContinualModel):
            def train_step(self, data):
                traces.append(data[0].shape[0])
                return super().train_step(data)

        model = Traced(mlp(8))
        model.compile("sgd", "mean_squared_error")
        model.add_task("a", layers.Dense(1))
        data = tf.data.Dataset.from_tensor_slices((X, np.float32(Y[:, None])))
        data = data.take(96)
        for size in (32, 16, 32):
            parts = data.batch(size, drop_remainder=True)
            model.fit(parts, epochs=2, verbose=0)
        # With a schedule there is another once the masks rest.
        self.assertEqual(traces, [32, 16])

    def test_data_of_unknown_length_end(self):
        seen = []

        def generate():
            for start in range(0, 96, 32):
                seen.append(start)
                yield X[start : start + 32], Y[start : start + 32]

        data = tf.data.Dataset.from_generator(
            generate,
            output_signature=(
                tf.TensorSpec((None, *X.shape[1:]), "float32"),
                tf.TensorSpec((None,), Y.dtype),
            ),
        )
        model = make_model(mlp(8), None)
        model.add_task("a", layers.Dense(10))
        model.fit(data, epochs=1, verbose=0)
        seen.clear()
        history = model.fit(data, epochs=2, verbose=0)
        self.assertLen(history.history["loss"], 2)
        self.assertEqual(seen[-6:], [0, 32, 64] * 2)

    def test_functions_that_run_eagerly_for_debugging(self):
        calls = []

        class Called(ContinualModel):
            def train_step(self, data):
                calls.append(tf.executing_eagerly())
                return super().train_step(data)

        model = Called(mlp(8))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy())
        model.add_task("a", layers.Dense(10, activation="softmax"))
        model.fit(X[:96], Y[:96], verbose=0)
        self.assertEqual(calls, [False])
        self.addCleanup(tf.config.run_functions_eagerly, False)
        tf.config.run_functions_eagerly(True)
        model.fit(X[:96], Y[:96], verbose=0)
        self.assertEqual(calls, [False] + [True] * 3)
