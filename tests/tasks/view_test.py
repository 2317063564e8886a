"""Tests of tasks that are read as views, while the variables hold another."""

import os
import tempfile
from concurrent import futures
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

import tsn_keras
from tests.digits_tasks import (
    TEST,
    TRAIN,
    VALIDATION,
    begin,
    consolidate,
    digits,
    fit,
    learn,
    logits,
    make_model,
    mlp,
    reloaded,
)
from tsn_keras.keras_internals import raw_value
from tsn_keras.tasks import view

OTHER = "sparse_top_k_categorical_accuracy"


def variables(model):
    return [np.array(variable) for variable in model.variables]


def normalized():
    return mlp(extra=[layers.BatchNormalization(), layers.Dropout(0.3)])


class Asks(keras.callbacks.Callback):
    """Asks other tasks while one trains or is evaluated."""

    def __init__(self, *tasks):
        super().__init__()
        self.tasks = tasks
        self.answers = []

    def ask(self):
        x, _ = digits(0, TEST)
        for task in self.tasks:
            answer = self.model.predict(x, task=task, verbose=0)
            self.answers.append((task, answer))

    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            self.ask()

    def on_test_batch_end(self, batch, logs=None):
        if not batch:
            self.ask()


class ViewTest(parameterized.TestCase):
    @parameterized.parameters(
        {},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"steps_per_execution": 3},
    )
    def test_reading_changes_no_variable(self, **options):
        model = make_model(normalized(), **options)
        learn(model, 0, epochs=1)
        expected = logits(model, 0)
        begin(model, 1, epochs=1)
        before = variables(model)
        np.testing.assert_array_equal(logits(model, 0), expected)
        x, y = digits(0, VALIDATION)
        found = [
            model.evaluate(x, y, task="task 0", verbose=0) for _ in range(2)
        ]
        self.assertEqual(*found)
        for one, other in zip(variables(model), before, strict=True):
            if one.dtype.kind == "f" and one.size > 1:
                np.testing.assert_array_equal(one, other)

    def test_a_callback_that_reads_does_not_disturb_training(self):
        learned = []
        for tasks in ((), ("task 0", "task 1")):
            keras.utils.set_random_seed(0)
            model = make_model(normalized())
            for number in range(2):
                learn(model, number)
            expected = {task: logits(model, 0, task=task) for task in tasks}
            asks = Asks(*tasks)
            begin(model, 2, callbacks=[asks])
            for task, answer in asks.answers:
                np.testing.assert_array_equal(answer, expected[task])
            consolidate(model, 2)
            learned.append(model.bank.to_bytes())
        self.assertEqual(*learned)

    def test_readings_within_readings(self):
        model = make_model()
        for number in range(2):
            learn(model, number)
        begin(model, 2)
        tasks = ("task 0", "task 1", "task 2", None)
        expected = {task: logits(model, 0, task=task) for task in tasks[:3]}
        expected[None] = expected["task 2"]
        asks = Asks(*tasks)
        x, y = digits(0, VALIDATION)
        found = model.evaluate(x, y, task="task 0", verbose=0, callbacks=[asks])
        for task, answer in asks.answers:
            np.testing.assert_array_equal(answer, expected[task])
        alone = model.evaluate(x, y, task="task 0", verbose=0)
        self.assertEqual(found, alone)

    def test_the_running_task_within_a_view_has_its_own_head(self):
        model = make_model()
        learn(model, 0)
        model.add_task("two", layers.Dense(2))
        images, labels = digits(1, TRAIN)
        model.fit(images, labels % 2, epochs=1, verbose=0)
        x, y = digits(0, VALIDATION)
        expected = model.predict(x, verbose=0)
        found = []

        class AsksWithoutAName(keras.callbacks.Callback):
            def on_test_batch_end(self, batch, logs=None):
                found.append(self.model.predict(x, verbose=0))

        model.evaluate(
            x, y, task="task 0", verbose=0, callbacks=[AsksWithoutAName()]
        )
        for answer in found:
            np.testing.assert_array_equal(answer, expected)
        self.assertNotEmpty(found)

    def test_a_view_does_not_export_a_task_of_another_bank(self):
        model, other = make_model(), make_model(seed=2)
        for one in (model, other):
            learn(one, 0)
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "other.weights.h5")
        other.save_weights(path)
        held = model.task("task 0")
        model.load_weights(path)
        for tell in (
            lambda: held.report,
            lambda: held.export(os.path.join(folder, "a.tflite")),
        ):
            with self.assertRaisesRegex(ValueError, "another bank"):
                tell()
        np.testing.assert_array_equal(logits(model, 0), logits(other, 0))
        self.assertEqual(os.listdir(folder), ["other.weights.h5"])
        # In between, a name means a task of the model, not of the view.
        x, _ = digits(0, TEST)
        expected, of_view = logits(model, 0), held.predict(x, verbose=0)
        does = Does(lambda: logits(model, 0))
        found = held.predict(x, verbose=0, callbacks=[does])
        np.testing.assert_array_equal(found, of_view)
        self.assertGreater(np.abs(found - expected).max(), 1e-3)
        for answer in does.done:
            np.testing.assert_array_equal(answer, expected)

    def test_heads_of_other_outputs_in_a_callback(self):
        model = make_model(metrics=["accuracy"])
        learn(model, 0)
        x, y = digits(0, VALIDATION)
        expected = model.evaluate(x, y, task="task 0", verbose=0)

        class Evaluates(keras.callbacks.Callback):
            found = None

            def on_epoch_end(self, epoch, logs=None):
                self.found = self.model.evaluate(x, y, task="task 0", verbose=0)

        evaluates = Evaluates()
        model.add_task("two", layers.Dense(2))
        images, labels = digits(1, TRAIN)
        model.fit(images, labels % 2, verbose=0, callbacks=[evaluates])
        self.assertEqual(evaluates.found, expected)
        self.assertEqual(model.predict(images, verbose=0).shape[-1], 2)

    def test_regularized_weights_are_those_of_the_task(self):
        def head():
            return layers.Dense(10, kernel_regularizer="l2")

        hidden = layers.Dense(16, "relu", bias_regularizer="l1")
        model = make_model(keras.Sequential([keras.Input((64,)), hidden]))
        x, y = digits(0, VALIDATION)
        losses = []
        for number in range(2):
            model.add_task(f"task {number}", head())
            fit(model, number)
            consolidate(model, number)
            losses.append(model.evaluate(x, y, task="task 0", verbose=0))
        self.assertEqual(*losses)

    def test_without_a_name_the_latest_task_answers(self):
        model = make_model()
        for number in range(2):
            learn(model, number)
        x, y = digits(0, TEST)
        expected = logits(model, 0, task="task 1")
        results = model.evaluate(x, y, task="task 1", verbose=0)
        for one in (model, reloaded(model)):
            # What was looked at before changes nothing.
            logits(one, 0, task="task 0")
            one.evaluate(x, y, task="task 0", verbose=0)
            np.testing.assert_allclose(one.predict(x, verbose=0), expected)
            for answer in (one(x), one.predict_on_batch(x)):
                np.testing.assert_allclose(answer, expected, atol=1e-5)
            for found in (
                one.evaluate(x, y, verbose=0),
                one.test_on_batch(x, y),
            ):
                np.testing.assert_allclose(found, results, rtol=1e-5)

    def test_a_task_that_has_not_begun_does_not_answer(self):
        model = make_model()
        learn(model, 0)
        x, y = digits(0, TEST)
        model.predict_on_batch(x)
        # With a head of the same configuration, and so the same function.
        model.add_task("task 1", layers.Dense(10))
        for ask in (
            lambda: model(x),
            lambda: model.predict(x, verbose=0),
            lambda: model.predict_on_batch(x),
            lambda: model.evaluate(x, y, verbose=0),
            lambda: model.test_on_batch(x, y),
        ):
            with self.assertRaisesRegex(ValueError, "not been trained"):
                ask()
        fit(model, 1, epochs=1)
        np.testing.assert_allclose(
            model.predict_on_batch(x), model.predict(x, verbose=0), atol=1e-5
        )

    def test_a_step_that_reads_past_keras_is_refused(self):
        class Peeks(tsn_keras.ContinualModel):
            def predict_step(self, data):
                (kernel,) = self.switch.kernels
                peeked = raw_value(kernel.kernel)[0, 0]
                return super().predict_step(data) + 0 * peeked

        model = make_model(model_class=Peeks)
        learn(model)
        begin(model, 1)
        with self.assertRaisesRegex(ValueError, "past Keras"):
            logits(model, 0)

    def test_inputs_by_name_and_in_a_list(self):
        inputs = [keras.Input((64,), name=name) for name in ("a", "b")]
        hidden = layers.Dense(8)(inputs[0]) - layers.Dense(8)(inputs[1])
        model = make_model(keras.Model(inputs, hidden))
        one, y = digits(0, TRAIN)
        two, _ = digits(1, TRAIN)
        model.add_task("task 0", layers.Dense(10))
        model.fit([one, two], y, verbose=0)
        model.consolidate(([one, two], y), verbose=0)
        expected = model.predict([one, two], verbose=0)
        swapped = model.predict([two, one], verbose=0)
        self.assertGreater(np.abs(expected - swapped).max(), 0.1)
        for batch in ({"b": two, "a": one}, {"a": one, "b": two}):
            found = model.predict(batch, verbose=0)
            np.testing.assert_array_equal(found, expected)
        half = model.predict([one[:50], two[:50]], verbose=0)
        np.testing.assert_allclose(half, expected[:50], atol=1e-5)

    def test_few_views_are_kept_where_they_are_large(self):
        model = make_model()
        for number in range(3):
            learn(model, number)
        expected = [logits(model, number) for number in range(3)]
        model.switch.clear_views()
        with mock.patch.object(view, "MOST_BYTES", 1):
            for _ in range(2):
                for number in range(3):
                    found = logits(model, number)
                    np.testing.assert_array_equal(found, expected[number])

    def test_another_thread_reads_what_it_asks_for(self):
        model = make_model()
        for number in range(2):
            learn(model, number)
        x, _ = digits(0, TEST)
        expected = np.array(model(x))
        with model.switch.reading("task 0"):
            here = np.array(model(x))
            with futures.ThreadPoolExecutor(1) as other:
                found = np.array(other.submit(model, x).result())
        self.assertGreater(np.abs(here - expected).max(), 1e-3)
        np.testing.assert_array_equal(found, expected)


def answers(model, x, y):
    """Returns what a model answers that is given no task's name."""
    results = (
        model(x),
        model.predict_on_batch(x),
        model.test_on_batch(x, y),
        model.compute_loss(x, y, model(x)),
        model.get_weights()[-1],
    )
    return list(map(np.array, results))


class Does(keras.callbacks.Callback):
    """Does something again and again while a task is read."""

    def __init__(self, work):
        super().__init__()
        self.work = work
        self.done = []

    def do(self, *args, **kwargs):
        self.done.append(self.work())

    on_test_begin = on_test_batch_end = do
    on_predict_batch_end = on_predict_end = do


def reads(model, x, y, callbacks=None):
    """Yields functions that read the first task in all ways."""
    arguments = {"verbose": 0, "callbacks": callbacks, "batch_size": 200}
    named = {"task": "task 0", **arguments}
    yield lambda: model.evaluate(x, y, **named)
    yield lambda: model.predict(x, **named)
    yield lambda: model.task("task 0").evaluate(x, y, **arguments)
    yield lambda: model.task("task 0").predict(x, **arguments)


class AskedInBetweenTest(parameterized.TestCase):
    """In the middle of a reading, what is asked without a name."""

    @parameterized.product(units=(10, 12), state=("stored", "running"))
    def test_the_latest_task_answers(self, units, state):
        self.check_answers(make_model(), units, state)

    @parameterized.parameters(
        {"run_eagerly": True},
        {"steps_per_execution": 2},
    )
    def test_with_options(self, **options):
        self.check_answers(make_model(normalized(), **options), 12, "running")

    def check_answers(self, model, units, state):
        learn(model, 0)
        # A metric of its own tells whose are counted.
        model.add_task("task 1", layers.Dense(units), metrics=[OTHER])
        fit(model, 1)
        if state == "stored":
            consolidate(model, 1)
        x, y = digits(0, TEST)
        alone = [read() for read in reads(model, x, y)]
        expected = answers(model, x, y)
        threads = self.enterContext(futures.ThreadPoolExecutor(1))

        def elsewhere():
            for task in ("task 0", None):
                model.predict(x, task=task, verbose=0, batch_size=200)

        def ask():
            before = answers(model, x, y)
            threads.submit(elsewhere).result()
            return [before, answers(model, x, y)]

        does = Does(ask)
        for read, found in zip(reads(model, x, y, [does]), alone, strict=True):
            np.testing.assert_array_equal(read(), found)
            self.assertGreater(len(does.done), 1)
            for found in sum(does.done, []):
                for one, other in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(one, other)
            does.done.clear()

    def test_a_task_that_has_not_begun_does_not_answer(self):
        model = make_model()
        learn(model, 0)
        x, y = digits(0, TEST)
        model.add_task("task 1", layers.Dense(10))

        def ask():
            for call in (
                lambda: model(x),
                lambda: model.predict_on_batch(x),
                lambda: model.test_on_batch(x, y),
            ):
                with self.assertRaisesRegex(ValueError, "not been trained"):
                    call()

        does = Does(ask)
        for read in reads(model, x, y, [does]):
            read()
            self.assertNotEmpty(does.done)

    def test_metrics_are_those_of_the_evaluation(self):
        class Notes(keras.callbacks.Callback):
            def on_test_end(self, logs=None):
                self.model.test_on_batch(x[:9], y[:9])
                found = self.model.get_metrics_result()
                self.found = {k: float(v) for k, v in found.items()}
                self.logs = logs

        notes = Notes()
        model = make_model()
        learn(model, 0)
        model.add_task("age", layers.Dense(1), loss="mse", metrics=["mae"])
        x, y = digits(0, TRAIN)
        model.fit(x, x.mean(axis=1), verbose=0)
        model.evaluate(x, y, task="task 0", verbose=0, callbacks=[notes])
        self.assertEqual(notes.found.keys(), {"loss", "accuracy"})
        self.assertEqual(notes.found, notes.logs)

    def test_metrics_of_heads_are_counted_anew(self):
        @keras.saving.register_keras_serializable(package="view_test")
        class Counts(layers.Dense):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.largest = keras.metrics.Mean(name="largest")

            def call(self, inputs):
                outputs = super().call(inputs)
                self.largest.update_state(keras.ops.max(outputs, axis=-1))
                return outputs

        model = make_model()
        model.add_task("task 0", Counts(10))
        fit(model, 0)
        consolidate(model, 0)
        x, y = digits(0, TEST)
        arguments = {"task": "task 0", "verbose": 0, "return_dict": True}
        expected = model.evaluate(x, y, **arguments)
        self.assertIn("largest", expected)
        learn(model, 1)
        for part in (slice(0, 50), slice(None)):
            found = model.evaluate(x[part], y[part], **arguments)
        self.assertEqual(found, expected)

    def test_learning_in_between(self):
        learned = []
        x, y = digits(0, TEST)
        for inside in (False, True):
            keras.utils.set_random_seed(0)
            model = make_model()
            learn(model, 0)
            model.add_task("task 1", layers.Dense(12), metrics=[OTHER])

            def work(model=model):
                history = fit(model, 1, validation_data=digits(1, VALIDATION))
                report = consolidate(model, 1)
                return history.history, report.monitor, report.effects

            if inside:

                class Learns(keras.callbacks.Callback):
                    def on_test_begin(self, logs=None, work=work):
                        found.append(work())

                found = []
                callbacks = [Learns()]
                model.evaluate(
                    x, y, task="task 0", verbose=0, callbacks=callbacks
                )
            else:
                found = [work()]
            learned.append((found, model.bank.to_bytes()))
        self.assertEqual(*learned)

    def test_saving_in_between(self):
        model = make_model()
        learn(model, 0)
        model.add_task("task 1", layers.Dense(12))
        fit(model, 1, epochs=1)
        x, y = digits(0, TEST)
        expected = model.predict(x, verbose=0)
        steps = int(model.optimizer.iterations)
        does = Does(lambda: reloaded(model))
        for read in reads(model, x, y, [does]):
            read()
            for one in does.done:
                np.testing.assert_allclose(one(x), expected, atol=1e-5)
                self.assertEqual(int(one.optimizer.iterations), steps)
            does.done.clear()
