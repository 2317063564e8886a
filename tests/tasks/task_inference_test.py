"""Tests of prediction without a task's name."""

import dataclasses
import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest, parameterized

import tsn_keras
from tests.digits_tasks import (
    TEST,
    VALIDATION,
    digits,
    everything,
    learn,
    make_model,
    reloaded,
)
from tsn_keras.bank import DamagedFileError
from tsn_keras.inference import (
    Confidence,
    Inference,
    InputMeans,
    detect_task_change,
)

COUNT = 3


def learned(inference, count=COUNT, **arguments):
    model = make_model(inference=inference, **arguments)
    for number in range(count):
        learn(model, number, epochs=4)
    return model


@keras.saving.register_keras_serializable(package="test")
class FirstInput(Inference):
    """A user's own score, of one number."""

    needs_outputs = False
    widths = (32,)

    def learn(self, x, outputs):
        return [x[:, :8].mean(axis=0)]

    def score(self, stored, x, outputs):
        return -np.abs(x[:, :8] - stored[0]).sum(axis=1)

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable(package="test")
@dataclasses.dataclass(eq=False)
class Near(Inference):
    """A score that is NaN far from the mean of all inputs."""

    shift: float = 0.0
    needs_outputs = False
    widths = (32,)

    def learn(self, x, outputs):
        return [x.mean(keepdims=True)[0] + self.shift]

    def score(self, stored, x, outputs):
        with np.errstate(invalid="ignore"):
            return np.log(1.0 - np.abs(x.mean(axis=1) - stored[0]))


@keras.saving.register_keras_serializable(package="test")
class Noted(Confidence):
    """Confidence that notes how many examples a task has predicted."""

    examples: list[int] = []

    def score(self, stored, x, outputs):
        self.examples.append(len(outputs[0]))
        return super().score(stored, x, outputs)


class InferTaskTest(parameterized.TestCase):
    @parameterized.parameters(
        ("confidence", 0.5), ("input_means", 0.95), (FirstInput(), 0.4)
    )
    def test_the_right_task_is_found(self, inference, least):
        model = learned(inference)
        for number in range(COUNT):
            x, _ = digits(number, TEST)
            name = f"task {number}"
            found = model.infer_task(x)
            self.assertEqual(found.names, model.tasks)
            self.assertGreater(np.mean(found.nearest == name), least)
            np.testing.assert_allclose(found.likelihood.sum(axis=1), 1.0)
            best = found.likelihood.argmax(axis=1)
            nearest = np.array(model.tasks)[best]
            self.assertTrue((nearest == found.nearest).all())
            together = model.infer_task(x[:50], batch="together")
            self.assertEqual(set(together.nearest), {name})
            one = model.infer_task(x[:1])
            self.assertEqual(one.nearest[0], found.nearest[0])

    def test_false_alarms_are_as_stated(self):
        model = learned("input_means")
        for number in range(COUNT):
            x, _ = digits(number, VALIDATION)
            strange = [task is None for task in model.infer_task(x).tasks]
            self.assertBetween(np.mean(strange), 0.0, 0.07)
        noise = np.random.default_rng(0).random((100, 64), np.float32)
        self.assertTrue(all(t is None for t in model.infer_task(noise).tasks))

    def test_both_scores_and_few_predictions(self):
        model = learned(["input_means", "confidence"])
        x, _ = digits(1, TEST)
        found = model.infer_task(x)
        self.assertGreater(np.mean(found.nearest == "task 1"), 0.95)
        for most in (1, 2, COUNT, 99):
            few = model.infer_task(x, max_tasks=most)
            self.assertGreater(np.mean(few.nearest == "task 1"), 0.9)
            self.assertTrue(np.isfinite(few.unlikeness).all())
            np.testing.assert_allclose(few.likelihood.sum(axis=1), 1.0)
        together = model.infer_task(x[:40], batch="together", max_tasks=1)
        self.assertEqual(set(together.nearest), {"task 1"})
        self.assertTrue(np.isfinite(together.unlikeness).all())
        some = model.infer_task(x, tasks=["task 2", "task 0"])
        self.assertEqual(some.names, ("task 2", "task 0"))

    def test_tasks_that_inputs_rule_out_predict_nothing(self):
        model = learned([InputMeans(), Noted()])
        x, _ = digits(1, TEST)
        Noted.examples.clear()
        model.infer_task(x)
        self.assertBetween(sum(Noted.examples), len(x), COUNT * len(x) - 1)
        found = model.infer_task(x, batch="together")
        self.assertEqual(set(found.nearest), {"task 1"})
        Noted.examples.clear()
        strange = model.infer_task(x + 100.0)
        self.assertGreaterEqual(sum(Noted.examples), len(x))
        self.assertEqual(set(strange.tasks), {None})

    def test_predict_and_evaluate(self):
        model = learned("input_means")
        parts = [digits(number, TEST) for number in range(COUNT)]
        x = np.concatenate([x[:50] for x, _ in parts])
        y = np.concatenate([y[:50] for _, y in parts])
        order = np.random.default_rng(0).permutation(len(x))
        x, y = x[order], y[order]
        outputs, tasks = model.predict(
            x, task="infer", return_tasks=True, verbose=0
        )
        nearest = model.infer_task(x).nearest
        for row in range(0, len(x), 10):
            expected = model.predict(
                x[row : row + 1], task=nearest[row], verbose=0
            )
            np.testing.assert_allclose(outputs[row], expected[0], rtol=1e-4)
        self.assertEqual(set(tasks) - {None}, set(model.tasks))
        loss, accuracy = model.evaluate(x, y, task="infer", verbose=0)
        self.assertAlmostEqual(accuracy, np.mean(outputs.argmax(-1) == y))
        results = model.evaluate(
            x, y, task="infer", verbose=0, return_dict=True
        )
        self.assertEqual(results["loss"], loss)
        with self.assertRaisesRegex(TypeError, "return_tasks"):
            model.predict(x, task="task 0", return_tasks=True)

    def test_it_changes_no_task_and_is_saved(self):
        model = learned(None)
        before = everything(model)[1]
        size = model.capacity().total_bytes
        model.inference = ["input_means"]
        for number, name in enumerate(model.tasks):
            model.learn_inference(name, digits(number, VALIDATION))
        self.assertEqual(everything(model)[1], before)
        capacity = model.capacity()
        self.assertEqual(capacity.bytes["inference"], COUNT * (32 + 8 + 12))
        self.assertLess(capacity.total_bytes - size, COUNT * 100)
        x, _ = digits(1, TEST)
        again = reloaded(model)
        self.assertEqual(again.bank.to_bytes(), model.bank.to_bytes())
        for one in (again, model):
            found = one.infer_task(x)
            self.assertGreater(np.mean(found.nearest == "task 1"), 0.95)
        other = make_model()
        other.inference = "input_means"
        other.add_task("any", head=keras.layers.Dense(10))
        other.discard_task()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.weights.h5")
            model.save_weights(path)
            other.load_weights(path)
        np.testing.assert_array_equal(
            other.infer_task(x).unlikeness, model.infer_task(x).unlikeness
        )

    def test_after_a_removal(self):
        model = learned("input_means")
        model.remove_task("task 1")
        x, _ = digits(2, TEST)
        self.assertGreater(
            np.mean(model.infer_task(x).nearest == "task 2"), 0.95
        )
        self.assertNotIn("task 1", model.infer_task(x).names)

    def test_a_stream(self):
        model = learned("input_means")
        order = [0, 0, 2, 2, 2, 1, 7, 7, 0]
        stream = [digits(number, TEST)[0][:32] for number in order]
        found = list(detect_task_change(model, stream))
        expected = [(0, "task 0"), (2, "task 2"), (5, "task 1"), (6, None)]
        self.assertEqual(found, [*expected, (8, "task 0")])

    def test_data_sets(self):
        model = learned("input_means", 2)
        x, y = digits(1, VALIDATION)
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
        np.testing.assert_array_equal(
            model.infer_task(data).unlikeness, model.infer_task(x).unlikeness
        )
        before = model.bank["task 1"].inference
        model.learn_inference("task 1", data)
        for one, other in zip(before, model.bank["task 1"].inference):
            np.testing.assert_allclose(one.decode(), other.decode(), rtol=1e-4)


class DefaultTest(parameterized.TestCase):
    def test_a_few_bytes_tell_tasks_apart(self):
        model = make_model()
        for number in range(COUNT):
            learn(model, number, epochs=4)
        for number in range(COUNT):
            x, _ = digits(number, TEST)
            found = model.infer_task(x).nearest
            self.assertGreater(np.mean(found == f"task {number}"), 0.5)
        self.assertLess(model.capacity().bytes["inference"], COUNT * 20)

    @parameterized.parameters(
        ("sparse_categorical_crossentropy", 0),
        (keras.losses.sparse_categorical_crossentropy, 0),
        (keras.losses.SparseCategoricalCrossentropy(), 0),
    )
    def test_heads_of_probabilities(self, loss, number):
        model = make_model(loss=loss)
        head = keras.layers.Dense(10, activation="softmax")
        model.add_task("a", head=head)
        x, y = digits(number, VALIDATION)
        model.fit(x, y, epochs=1, verbose=0)
        model.consolidate((x, y), verbose=0)
        self.assertEqual(model.infer_task(x).nearest[0], "a")


class BadInputTest(parameterized.TestCase):
    def test_a_model_without_it(self):
        model = learned(None, 1)
        x, y = digits(0, TEST)
        with self.assertRaisesRegex(ValueError, "has no `inference`"):
            model.infer_task(x)
        with self.assertRaisesRegex(ValueError, "has no `inference`"):
            model.predict(x, task="infer")
        with self.assertRaisesRegex(ValueError, "has no `inference`"):
            model.learn_inference("task 0", (x, y))
        model.inference = "confidence"
        with self.assertRaisesRegex(ValueError, "learn_inference.'task 0'"):
            model.infer_task(x)
        model.learn_inference("task 0", (x, y))
        self.assertEqual(set(model.infer_task(x).nearest), {"task 0"})
        with self.assertRaisesRegex(ValueError, "Unknown task"):
            model.learn_inference("task 9", (x, y))

    def test_no_task(self):
        model = make_model()
        model.inference = "confidence"
        with self.assertRaisesRegex(ValueError, "no consolidated task"):
            model.infer_task(np.zeros((1, 64)))

    def test_a_head_without_probabilities(self):
        model = make_model(loss="mse", metrics=None)
        x, y = digits(0, VALIDATION)
        model.add_task("a", head=keras.layers.Dense(1))
        model.fit(x, y, epochs=1, verbose=0)
        model.consolidate((x, y), verbose=0)
        self.assertNotIn("inference", model.capacity().bytes)
        with self.assertRaisesRegex(ValueError, "learn_inference.'a'"):
            model.infer_task(x)
        with self.assertRaisesRegex(ValueError, "no probabilities.*InputMeans"):
            model.learn_inference("a", (x, y))
        model.inference = InputMeans()
        model.learn_inference("a", (x, y))
        self.assertEqual(model.infer_task(x).nearest[0], "a")

    def test_a_head_whose_loss_nobody_knows(self):
        class OwnStep(tsn_keras.ContinualModel):
            def compute_loss(self, x=None, y=None, y_pred=None, *args, **kw):
                return keras.ops.mean(keras.ops.square(y_pred))

        model = make_model(model_class=OwnStep, loss=None, metrics=None)
        model.add_task("a", head=keras.layers.Dense(3))
        x, y = digits(0, VALIDATION)
        model.fit(x, y, epochs=1, verbose=0)
        model.consolidate((x, y), verbose=0)
        with self.assertRaisesRegex(ValueError, "learn_inference.'a'"):
            model.infer_task(x)

    def test_scores_that_are_no_numbers(self):
        """Such an example fits the task least of all."""
        model = make_model(inference=Near())
        for number in range(2):
            x, y = digits(number, VALIDATION)
            x = x + 10.0 * number
            model.add_task(f"task {number}", head=keras.layers.Dense(10))
            model.fit(x, y, epochs=1, verbose=0)
            model.consolidate((x, y), verbose=0)
        for number in range(2):
            x = digits(number, TEST)[0] + 10.0 * number
            found = model.infer_task(x)
            self.assertEqual(set(found.nearest), {f"task {number}"})
            self.assertTrue(np.isfinite(found.unlikeness).all())
        model.inference = Near(shift=5.0)
        before = model.bank.to_bytes()
        with self.assertRaisesRegex(ValueError, "not finite"):
            model.learn_inference("task 0", digits(0, VALIDATION))
        self.assertEqual(model.bank.to_bytes(), before)

    def test_shapes_that_no_network_sees(self):
        """The means would take parts of any number of entries."""
        model = learned(InputMeans(most=10), 1)
        x, y = digits(0, TEST)
        for other in (x[:, :32], np.tile(x, 2)):
            with self.assertRaisesRegex(ValueError, "expected shape"):
                model.infer_task(other)
            with self.assertRaisesRegex(ValueError, "expected shape"):
                model.learn_inference("task 0", (other, y))

    def test_few_tasks_need_a_score_without_predictions(self):
        """The first ones in order would be taken, whatever the input is."""
        model = learned("confidence", 2)
        with self.assertRaisesRegex(ValueError, "max_tasks=1.*InputMeans"):
            model.infer_task(digits(1, TEST)[0], max_tasks=1)

    def test_inputs_that_are_no_numbers(self):
        model = learned("input_means", 1)
        x, _ = digits(0, TEST)
        with self.assertRaisesRegex(ValueError, "NaN|finite"):
            model.infer_task(np.where(x > 0.9, np.nan, x))
        with self.assertRaisesRegex(TypeError, "needs numbers.*Confidence"):
            InputMeans().learn(np.array([["a"], ["b"]]), None)

    def test_data_sets_have_no_rows_to_put_together(self):
        model = learned("input_means", 1)
        data = tf.data.Dataset.from_tensor_slices(digits(0, TEST)).batch(32)
        with self.assertRaisesRegex(TypeError, "`x` must be an array.*infer"):
            model.predict(data, task="infer", verbose=0)

    def test_other_shapes(self):
        model = make_model()
        model.inference = "confidence"
        for name, width in (("a", 10), ("b", 11)):
            model.add_task(name, head=keras.layers.Dense(width))
            model.fit(*digits(ord(name), VALIDATION), epochs=2, verbose=0)
            model.consolidate(digits(ord(name), VALIDATION), verbose=0)
        x = np.concatenate([digits(ord(n), TEST)[0] for n in "ab"])
        with self.assertRaisesRegex(ValueError, "different shapes"):
            model.predict(x, task="infer", verbose=0)

    def test_a_bank_that_says_what_cannot_be(self):
        model = learned("input_means", 1)
        record = model.bank["task 0"]
        for codes in (record.inference[:1], record.inference[::-1], ()):
            model.bank.set_inference("task 0", codes, {})
            with self.assertRaises(DamagedFileError):
                model.infer_task(np.zeros((1, 64)))

    def test_bad_arguments(self):
        model = learned("input_means", 1)
        with self.assertRaisesRegex(ValueError, "`batch` must be one of"):
            model.infer_task(np.zeros((1, 64)), batch="all")
        with self.assertRaisesRegex(TypeError, "list of names"):
            model.infer_task(np.zeros((1, 64)), tasks="task 0")
        with self.assertRaisesRegex(ValueError, "empty"):
            model.infer_task(np.zeros((0, 64)))
        with self.assertRaisesRegex(ValueError, "cannot be named 'infer'"):
            model.add_task("infer", head=keras.layers.Dense(2))

    @parameterized.parameters(
        ("energy", ValueError), (3, TypeError), (["confidence", 3], TypeError)
    )
    def test_no_score(self, inference, error):
        with self.assertRaisesRegex(error, "`inference` must be"):
            tsn_keras.ContinualModel(keras.layers.Dense(3), inference=inference)


if __name__ == "__main__":
    absltest.main()
