"""Tests of the quality that consolidation watches."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.digits_tasks import VALIDATION, begin, digits, make_model
from tsn_keras.tasks.quality import (
    Validation,
    evaluation_loop,
    is_lower_better,
)

DATA = digits(0, VALIDATION)


class ValidationTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(
            metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3)]
        )
        begin(cls.model)

    def validation(self, data=DATA, monitor=None):
        return Validation(
            self.model, data, evaluation_loop(self.model), monitor
        )

    def test_equals_evaluate(self):
        validation = self.validation()
        results = self.model.evaluate(*DATA, verbose=0, return_dict=True)
        for name, value in validation.results().items():
            self.assertAlmostEqual(value, results[name], places=5)
        self.assertEqual(validation.monitor, "accuracy")
        self.assertAlmostEqual(validation.quality(), results["accuracy"])
        self.assertAlmostEqual(validation.loss, results["loss"], places=5)
        self.assertEqual(validation.num_examples, len(DATA[1]))

    def test_the_form_of_the_data_does_not_count(self):
        x, y = DATA
        dataset = tf.data.Dataset.from_tensor_slices(DATA).batch(30)
        for data in ([x, y], (x, y, None), dataset):
            self.assertAlmostEqual(
                self.validation(data).quality(), self.validation().quality()
            )

    def test_sample_weight_counts_in_the_loss(self):
        x, y = DATA
        weights = np.where(y == 3, 1.0, 0.0)
        plain = self.validation(monitor="loss").quality()
        weighted = self.validation((x, y, weights), "loss").quality()
        self.assertGreater(weighted, plain)

    @parameterized.parameters(
        ("loss", -1), ("accuracy", 1), ("sparse_top_k_categorical_accuracy", 1)
    )
    def test_sign(self, monitor, sign):
        validation = self.validation(monitor=monitor)
        self.assertEqual(validation.sign, sign)
        self.assertEqual(np.sign(validation.quality()), sign)

    @parameterized.parameters(
        (keras.metrics.SparseCategoricalCrossentropy(name="a"), -1),
        (keras.metrics.MeanAbsolutePercentageError(name="deviation"), -1),
        (keras.metrics.R2Score(name="loss_explained"), 1),
        (keras.metrics.AUC(name="a_error"), 1),
        (keras.metrics.MeanMetricWrapper(abs, name="my_crossentropy"), -1),
        (keras.metrics.MeanMetricWrapper(abs, name="recall_of_cats"), 1),
    )
    def test_sign_is_that_of_the_metric_whatever_its_name(self, metric, sign):
        results = {"other": 0.0, metric.name: 0.0}
        compiled = {"result.return_value": results}
        parts = [keras.metrics.Mean("other"), metric]
        metrics = [mock.Mock(metrics=parts, **compiled)]
        self.assertEqual(is_lower_better(metric.name, metrics), sign < 0)

    @parameterized.parameters("quality", "error_of_recall", "badness", "terror")
    def test_where_nothing_says_what_is_better(self, name):
        metric = keras.metrics.Mean(name)
        with self.assertWarnsRegex(UserWarning, f"'{name}'.*`mode='min'`"):
            is_lower_better(name, [metric])

    def test_only_the_metric_of_exactly_that_name_counts(self):
        error = keras.metrics.MeanAbsoluteError(name="error")
        own = keras.metrics.AUC(name="my_error")
        self.assertFalse(is_lower_better("my_error", [error, own]))
        self.assertTrue(is_lower_better("error", [own, error]))

    def test_metrics_of_several_outputs(self):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        mae = keras.metrics.MeanAbsoluteError(name="accuracy")
        model = make_model(
            loss={"a": loss, "b": "mse"},
            metrics={"a": ["accuracy"], "b": [mae]},
        )
        features = keras.Input((32,))
        outputs = {"a": keras.layers.Dense(10), "b": keras.layers.Dense(1)}
        outputs = {name: one(features) for name, one in outputs.items()}
        model.add_task("both", keras.Model(features, outputs))
        x, y = DATA
        y = {"a": y, "b": np.float32(y)[:, None]}
        model.fit(x, y, verbose=0)
        model.evaluate(x, y, verbose=0)
        self.assertFalse(is_lower_better("a_accuracy", model.metrics))
        self.assertTrue(is_lower_better("b_accuracy", model.metrics))

    def test_sample(self):
        x, _ = DATA
        np.testing.assert_array_equal(self.validation().sample(7), x[:7])
        dataset = tf.data.Dataset.from_tensor_slices(DATA).batch(30)
        sample = self.validation(dataset).sample(70)
        np.testing.assert_array_equal(sample, x[:70])
        self.assertLen(self.validation().sample(1000), 200)

    def test_nothing_is_trained(self):
        before = [np.array(weight) for weight in self.model.weights]
        self.validation().quality()
        for weight, value in zip(self.model.weights, before):
            np.testing.assert_array_equal(np.array(weight), value)
