"""Tests that tasks with equal heads share everything that is traced."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.digits_tasks import (
    VALIDATION,
    CountsTraces,
    begin,
    consolidate,
    digits,
    learn,
    logits,
    make_model,
    mlp,
)

NUM_TASKS = 4


class RetracingTest(parameterized.TestCase):
    def test_tasks_with_equal_heads(self):
        traces = []

        def loss(y_true, y_pred):
            # Python runs it in each trace of the steps of training,
            # evaluation, consolidation and fine-tuning, and else never.
            traces.append(len(model.tasks))
            return keras.losses.sparse_categorical_crossentropy(
                y_true, y_pred, from_logits=True
            )

        extra = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.2)]
        model = make_model(mlp(16, extra), loss=loss, model_class=CountsTraces)
        validation = digits(0, VALIDATION)
        predict_traces = []
        for number in range(NUM_TASKS):
            begin(model, number, epochs=1, validation_data=validation)
            consolidate(model, number)
            for earlier in range(number + 1):
                logits(model, earlier)
                name = f"task {earlier}"
                model.evaluate(*validation, task=name, verbose=0)
            predict_traces.append(model.predict_traces)
        # Training, its last and smaller batch, evaluation, consolidation,
        # fine-tuning.
        self.assertGreaterEqual(traces.count(1), 4)
        self.assertEqual(traces[-1], 1, msg=f"Traced in tasks {traces}")
        self.assertEqual(set(predict_traces), {predict_traces[0]})
        self.assertLen(model.heads.get_config()["heads"], 1)

    def test_batches_of_all_sizes(self):
        traces = []

        @keras.saving.register_keras_serializable(package="test")
        class Counts(keras.layers.Layer):
            def call(self, x):
                traces.append(x.shape[0])
                return x + 0.0

        model = make_model(mlp(16, [Counts()]))
        learn(model, 0, epochs=1)
        x, _ = digits(0, VALIDATION)
        view = model.task("task 0")
        expected = np.asarray(view(x))
        traces.clear()
        for size in (7, 8, 9, 1, 20, len(x), 33):
            np.testing.assert_allclose(
                np.asarray(view(x[:size])), expected[:size], atol=1e-5
            )
        self.assertEqual(traces, [None])
        # In a function of the user's own, with names and without a size.
        spec = tf.TensorSpec([None, 64], tf.float32, "other")
        served = tf.function(lambda x: view(x), [spec])
        np.testing.assert_allclose(served(x[:5]), expected[:5], atol=1e-5)
