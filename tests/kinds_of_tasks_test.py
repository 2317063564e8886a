"""Tests that a task need not be a classification."""

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import TRAIN, digits, make_model, mlp
from tsn_keras.tasks.quality import Validation, evaluation_loop

X, Y = digits(0, TRAIN)


def two_heads(kind):
    features = keras.Input((32,))
    outputs = {
        "digit": layers.Dense(10, name="digit")(features),
        "ink": layers.Dense(1, name="ink")(features),
    }
    outputs = outputs if kind is dict else list(outputs.values())
    return keras.Model(features, outputs)


class Extremes(keras.metrics.Metric):
    """A metric whose result are two numbers with names."""

    def __init__(self):
        super().__init__(name="extremes")
        self.found = self.add_weight((2,), "zeros", name="found")

    def update_state(self, y_true, y_pred, sample_weight=None):
        found = keras.ops.stack([keras.ops.min(y_pred), keras.ops.max(y_pred)])
        self.found.assign(found)

    def result(self):
        return {"lowest": self.found[0], "highest": self.found[1]}


class KindsOfTasksTest(parameterized.TestCase):
    def learn(self, model, head, x, y, **arguments):
        """Learns a task and one more of the kind; returns both reports."""
        reports = []
        for name in ("a", "b"):
            model.add_task(name, head())
            model.fit(x, y, epochs=6, batch_size=16, verbose=0)
            report = model.consolidate((x, y), verbose=0, **arguments)
            reports.append(report)
            outputs = model.predict(x, task="a", verbose=0)
            flat = [part.tobytes() for part in keras.tree.flatten(outputs)]
            if name == "a":
                before = flat
        self.assertEqual(flat, before)
        return reports

    def test_several_labels(self):
        labels = np.stack([Y % 2 == 0, Y > 4, Y == 3], axis=-1)
        model = make_model(
            loss=keras.losses.BinaryCrossentropy(from_logits=True),
            metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
        )
        head = lambda: layers.Dense(3)  # noqa: E731
        reports = self.learn(model, head, X, np.float32(labels))
        for report in reports:
            self.assertEqual(report.monitor, "binary_accuracy")
            self.assertGreater(report.quality_after, 0.8)

    def test_metrics_of_several_numbers(self):
        metrics = ["accuracy", keras.metrics.F1Score(), Extremes()]
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model = make_model(loss=loss, metrics=metrics)
        head = lambda: layers.Dense(10)  # noqa: E731
        labels = np.eye(10, dtype="float32")[Y]
        for report in self.learn(model, head, X, labels, monitor="highest"):
            self.assertEqual(report.monitor, "highest")
            self.assertGreater(report.quality_after, 0)

    def test_heads_of_several_shapes(self):
        f1 = keras.metrics.F1Score(average="macro")
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model = make_model(loss=loss, metrics=[f1, Extremes()])
        found = {}
        for name, count in (("a", 3), ("b", 4), ("c", 3)):
            labels = np.eye(count, dtype="float32")[Y[Y < count]]
            examples = X[Y < count], labels
            model.add_task(name, layers.Dense(count))
            model.fit(*examples, epochs=4, batch_size=16, verbose=0)
            model.consolidate(examples, monitor="f1_score", verbose=0)
            found[name] = examples
            self.assertLen(model.metrics, 2)
        for name, (x, labels) in found.items():
            results = model.evaluate(
                x, labels, task=name, verbose=0, return_dict=True
            )
            own = keras.metrics.F1Score(average="macro")
            outputs = model.predict(x, task=name, verbose=0)
            own.update_state(labels, outputs)
            self.assertAlmostEqual(
                results["f1_score"], float(own.result()), places=6
            )
            self.assertGreater(results["f1_score"], 0.7)
        # The instance that was given serves heads as the first.
        self.assertIs(model.metrics[1].metrics[0], f1)

    def test_heads_of_several_structures(self):
        model = make_model(loss="mse", metrics=None)
        ink = np.float32(X.mean(axis=-1, keepdims=True))
        labels = np.eye(10, dtype="float32")[Y]
        model.add_task("one", layers.Dense(1))
        model.fit(X, ink, verbose=0)
        model.consolidate((X, ink), verbose=0)
        model.add_task("two", two_heads(dict))
        model.fit(X, {"digit": labels, "ink": ink}, verbose=0)
        model.consolidate((X, {"digit": labels, "ink": ink}), verbose=0)
        loss = model.evaluate(X, ink, task="one", verbose=0)
        outputs = model.predict(X, task="one", verbose=0)
        self.assertAlmostEqual(loss, np.mean((outputs - ink) ** 2), places=5)

    def test_regression_with_several_metrics(self):
        target = np.float32(X[:, :2] - X[:, 2:4])
        model = make_model(loss="huber", metrics=["mae", "r2_score"])
        head = lambda: layers.Dense(2)  # noqa: E731
        first, _ = self.learn(model, head, X, target, monitor="r2_score")
        self.assertEqual(first.monitor, "r2_score")
        self.assertGreater(first.quality_before, 0.3)
        self.assertGreaterEqual(first.quality_after, first.quality_before - 0.1)

    def test_dense_outputs(self):
        images = X.reshape(-1, 8, 8, 1)
        inside = np.int64(images[..., 0] > 0.5)
        backbone = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(8, 3, strides=2, padding="same"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Conv2DTranspose(8, 3, strides=2, padding="same"),
                layers.ReLU(),
            ]
        )
        model = make_model(backbone)
        head = lambda: layers.Conv2D(2, 1)  # noqa: E731
        for report in self.learn(model, head, images, inside):
            self.assertGreater(report.quality_after, 0.8)

    @parameterized.parameters(dict, list, "list by names")
    def test_several_heads_in_one_task(self, kind):
        ink = np.float32(X.mean(axis=-1, keepdims=True))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        losses = {"digit": loss, "ink": "mse"}
        metrics = {"digit": ["accuracy"], "ink": ["mae"]}
        labels = {"digit": Y, "ink": ink}
        if kind == "list by names":
            kind = list
        elif kind is list:
            losses, metrics, labels = (
                list(each.values()) for each in (losses, metrics, labels)
            )
        model = make_model(mlp(), loss=losses, metrics=metrics)
        head = lambda: two_heads(kind)  # noqa: E731
        first, _ = self.learn(model, head, X, labels)
        # One head's metric alone would let the other one go.
        self.assertEqual(first.monitor, "loss")
        outputs = model.predict(X, task="a", verbose=0)
        digit = outputs["digit"] if kind is dict else outputs[0]
        self.assertGreater((digit.argmax(axis=-1) == Y).mean(), 0.7)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.keras")
            model.save(path)
            loaded = keras.models.load_model(path)
        again = loaded.predict(X, task="a", verbose=0)
        for one, other in zip(
            keras.tree.flatten(outputs), keras.tree.flatten(again)
        ):
            np.testing.assert_array_equal(one, other)


def masked(y_true, y_pred):
    """The squared error where there is a label."""
    error = keras.ops.square(keras.ops.nan_to_num(y_true) - y_pred)
    return keras.ops.where(keras.ops.isnan(y_true), 0.0, error)


class MissingLabelsTest(parameterized.TestCase):
    """Labels that are NaN on purpose, for a loss of the user's own."""

    def setUp(self):
        super().setUp()
        self.labels = X[:, :2].copy()
        self.labels[::3, 0] = np.nan

    def test_masked_loss(self):
        model = make_model(loss=masked, metrics=None)
        for name in "ab":
            model.add_task(name, layers.Dense(2))
            model.fit(X, self.labels, epochs=3, verbose=0)
            data = tf.data.Dataset.from_tensor_slices((X, self.labels))
            data = (X, self.labels) if name == "a" else data.batch(100)
            report = model.consolidate(data, verbose=0)
            self.assertLess(report.quality_after, 0.3)

    @parameterized.parameters(False, True)
    def test_ragged_labels(self, in_dataset):
        def of_first(y_true, y_pred):
            return keras.ops.square(y_true[:, :1].to_tensor() - y_pred)

        counts = 1 + np.arange(len(X)) % 3
        values = np.repeat(X[:, 20], counts)
        labels = tf.RaggedTensor.from_row_lengths(values, counts)
        data = (X, labels)
        if in_dataset:
            data = tf.data.Dataset.from_tensor_slices(data).batch(50)
        arguments = (data,) if in_dataset else data
        model = make_model(
            loss=of_first, metrics=None, sharing="activation_similarity"
        )
        for name in "ab":
            model.add_task(name, layers.Dense(1))
            model.fit(*arguments, epochs=3, verbose=0)
            report = model.consolidate(data, verbose=0)
            self.assertLess(report.quality_after, 0.3)

    def test_a_metric_that_counts_them(self):
        model = make_model(loss=masked, metrics=["mae"])
        model.add_task("a", layers.Dense(2))
        model.fit(X, self.labels, verbose=0)
        with self.assertRaisesRegex(ValueError, "mae is NaN.*`monitor`"):
            model.consolidate((X, self.labels), verbose=0)
        model.consolidate((X, self.labels), monitor="loss", verbose=0)

    def test_only_the_output_of_that_loss(self):
        features = keras.Input((32,))
        outputs = {name: layers.Dense(2)(features) for name in "ab"}
        model = make_model(loss={"a": masked, "b": "mse"}, metrics=None)
        model.add_task("a", keras.Model(features, outputs))
        wrong = {"a": X[:, :2], "b": self.labels}
        with self.assertRaisesRegex(ValueError, "`y` has 134 entries .*NaN"):
            model.fit(X, wrong, verbose=0)
        right = {"a": self.labels, "b": X[:, :2]}
        model.fit(X, right, verbose=0)
        with self.assertRaisesRegex(ValueError, "`validation_data` has 134"):
            model.consolidate((X, wrong), verbose=0)
        model.consolidate((X, right), verbose=0)


class ModeTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        keras.utils.set_random_seed(0)

    def test_sign_of_a_metric_of_the_users_own(self):
        def badness(y_true, y_pred):
            labels = keras.ops.cast(y_true[..., 0], "int32")
            wrong = keras.ops.argmax(y_pred, axis=-1) != labels
            return keras.ops.cast(wrong, "float32")

        model = make_model(metrics=[badness])
        model.add_task("a", layers.Dense(10))
        model.fit(X, Y[:, None], epochs=3, verbose=0)
        data, loop = (X, Y[:, None]), evaluation_loop(model)
        for mode, sign in (("min", -1.0), ("max", 1.0), ("auto", 1.0)):
            validation = Validation(model, data, loop, "badness", mode)
            self.assertEqual(validation.sign, sign)
        # A tolerance must be kept upwards where less is better.
        report = model.consolidate(
            data, monitor="badness", mode="min", verbose=0
        )
        limit = report.quality_before + report.allowed_loss
        self.assertLessEqual(report.quality_after, limit + 0.02)

    def test_unknown_mode(self):
        model = make_model()
        model.add_task("a", layers.Dense(10))
        model.fit(X, Y, verbose=0)
        with self.assertRaisesRegex(ValueError, "mode.*one of.*lowest"):
            model.consolidate((X, Y), mode="lowest", verbose=0)
