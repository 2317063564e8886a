"""Tests of losses and metrics that tasks have for themselves."""

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    consolidate,
    digits,
    fit,
    learn,
    make_model,
    reloaded,
)


def ages(part):
    """Returns images and a number for each, to be estimated."""
    x, _ = digits(1, part)
    return x, x.mean(axis=1, keepdims=True)


def evaluate(model, task, data):
    return model.evaluate(*data, task=task, verbose=0, return_dict=True)


class OwnLossesTest(parameterized.TestCase):
    @parameterized.parameters(True, False)
    def test_classes_then_a_regression(self, by_compile):
        model = make_model()
        learn(model, 0)
        classes = digits(0, VALIDATION)
        expected = evaluate(model, "task 0", classes)
        self.assertEqual(expected.keys(), {"loss", "accuracy"})
        if by_compile:
            model.compile("adam", "mse", metrics=["mae"])
            model.add_task("age", layers.Dense(1))
        else:
            model.add_task("age", layers.Dense(1), loss="mse", metrics=["mae"])
        self.assertEqual(model.loss, "mse")
        self.assertEqual(evaluate(model, "task 0", classes), expected)
        history = model.fit(*ages(TRAIN), verbose=0).history
        self.assertEqual(history.keys(), {"loss", "mae"})
        report = model.consolidate(ages(VALIDATION), verbose=0)
        self.assertEqual(report.monitor, "mae")
        found = evaluate(model, "age", ages(VALIDATION))
        self.assertEqual(found.keys(), {"loss", "mae"})
        # A third one, as the first.
        model.compile("adam", "sparse_categorical_crossentropy")
        model.add_task("task 2", layers.Dense(10, "softmax"))
        for same in (model, reloaded(model)):
            self.assertEqual(evaluate(same, "task 0", classes), expected)
            self.assertEqual(evaluate(same, "age", ages(VALIDATION)), found)
        fit(model, 2)
        consolidate(model, 2)
        for same in (model, reloaded(model)):
            self.assertEqual(evaluate(same, "task 0", classes), expected)
            self.assertEqual(evaluate(same, "age", ages(VALIDATION)), found)
            third = evaluate(same, "task 2", digits(2, VALIDATION))
            self.assertEqual(third.keys(), {"loss"})

    def test_equal_heads_with_other_losses(self):
        model = make_model()
        learn(model, 0)
        classes = digits(0, VALIDATION)
        expected = evaluate(model, "task 0", classes)
        # The same head, but its outputs are no logits.
        model.add_task("task 1", layers.Dense(10), loss="mse", metrics=[])
        x, y = digits(1, TRAIN)
        model.fit(x, np.eye(10)[y], verbose=0)
        x, y = digits(1, VALIDATION)
        model.consolidate((x, np.eye(10)[y]), verbose=0)
        found = evaluate(model, "task 1", (x, np.eye(10)[y]))
        answers = model.predict(x, task="task 1", verbose=0)
        self.assertEqual(found.keys(), {"loss"})
        error = np.square(answers - np.eye(10)[y]).mean()
        self.assertAlmostEqual(found["loss"], error, places=5)
        self.assertEqual(evaluate(model, "task 0", classes), expected)

    def test_compiling_in_the_middle_is_for_the_running_task(self):
        model = make_model()
        learn(model, 0)
        model.add_task("age", layers.Dense(1), loss="mse", metrics=[])
        model.fit(*ages(TRAIN), verbose=0)
        model.compile("sgd", "mae", metrics=["mae"])
        self.assertEqual(model.loss, "mse")
        history = model.fit(*ages(TRAIN), verbose=0).history
        self.assertEqual(history.keys(), {"loss"})
        model.discard_task()
        self.assertEqual(model.loss, "mae")
        model.add_task("age", layers.Dense(1))
        history = model.fit(*ages(TRAIN), verbose=0).history
        self.assertEqual(history.keys(), {"loss", "mae"})
        model.compile("sgd", "mse")
        history = model.fit(*ages(TRAIN), verbose=0).history
        self.assertEqual(history.keys(), {"loss"})

    def test_failed_compiling_changes_nothing(self):
        model = make_model()
        learn(model, 0)
        optimizer, loss = model.optimizer, model.loss
        with self.assertRaisesRegex(TypeError, "metrics"):
            model.compile("sgd", "mse", metrics="mae")
        self.assertIs(model.loss, loss)
        self.assertIs(model.optimizer, optimizer)
        learn(model, 1)

    def test_a_metric_that_a_user_holds_shows_the_evaluation(self):
        held = keras.metrics.SparseCategoricalAccuracy(name="held")
        model = make_model(metrics=[held])
        learn(model, 0)
        learn(model, 1)
        for number in (0, 1):
            data = digits(number, VALIDATION)
            found = evaluate(model, f"task {number}", data)
            self.assertAlmostEqual(float(held.result()), found["held"])
