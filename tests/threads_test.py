"""Tests of several threads that use one model."""

import os
import tempfile
import threading
from concurrent import futures

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
)


def in_threads(count, work):
    """Runs a function of a number in threads that start at once."""
    barrier = threading.Barrier(count)

    def begin_together(number):
        barrier.wait()
        return work(number)

    with futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin_together, range(count)))


class Waits(keras.callbacks.Callback):
    """Holds training up until it may go on, and tells when it is there."""

    def __init__(self):
        super().__init__()
        self.there, self.go_on = threading.Event(), threading.Event()

    def on_train_batch_end(self, batch, logs=None):
        self.there.set()
        self.go_on.wait(60)


class ThreadsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        extra = [layers.BatchNormalization(), layers.Dropout(0.3)]
        cls.model = make_model(mlp(extra=extra))
        for number in range(4):
            # Two kinds of heads.
            cls.model.add_task(f"task {number}", layers.Dense(10 + number % 2))
            fit(cls.model, number, epochs=1)
            consolidate(cls.model, number)
        cls.expected = [logits(cls.model, number) for number in range(4)]

    def check_answers(self, ask, per_thread=12):
        """Asks all tasks, in another order in each thread."""

        def work(thread):
            order = np.random.default_rng(thread).integers(4, size=per_thread)
            return [int(n) for n in order if not np.array_equal(*ask(int(n)))]

        self.assertEqual(in_threads(8, work), [[]] * 8)

    def predict(self, number):
        return logits(self.model, number), self.expected[number]

    def test_predictions(self):
        self.check_answers(self.predict)

    def test_predictions_that_trace_at_once(self):
        self.model.compile(**recompiled())
        self.check_answers(self.predict, per_thread=4)

    def test_calls_of_views(self):
        views = [self.model.task(name) for name in self.model.tasks]
        images = [digits(number, TEST)[0] for number in range(4)]
        expected = [np.array(v(x)) for v, x in zip(views, images)]
        self.check_answers(
            lambda n: (np.array(views[n](images[n])), expected[n])
        )

    def test_evaluations(self):
        expected = [self.evaluate(number) for number in range(4)]
        self.check_answers(lambda n: (self.evaluate(n), expected[n]), 4)

    def evaluate(self, number):
        x, y = digits(number, VALIDATION)
        return self.model.evaluate(x, y, task=f"task {number}", verbose=0)

    def test_batches_of_the_latest_task(self):
        x, y = digits(3, VALIDATION)
        expected = (
            self.model.predict_on_batch(x),
            self.model.test_on_batch(x, y),
        )

        def work(thread):
            found = []
            for _ in range(5):
                self.evaluate(thread % 4)
                logits(self.model, thread % 4)
                found.append(self.model.predict_on_batch(x))
                np.testing.assert_array_equal(found[-1], expected[0])
                self.assertEqual(self.model.test_on_batch(x, y), expected[1])

        in_threads(4, work)

    def test_a_callback_stops_its_own_call(self):
        class Stops(keras.callbacks.Callback):
            def on_predict_batch_end(self, batch, logs=None):
                self.model.stop_predicting = True

        x, _ = digits(0, TEST)

        def work(thread):
            stops = [Stops()] if thread % 2 else []
            return {
                len(self.model.predict(x, verbose=0, callbacks=stops))
                for _ in range(5)
            }

        self.assertEqual(in_threads(4, work), [{200}, {32}] * 2)


def recompiled():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"optimizer": "adam", "loss": loss, "metrics": ["accuracy"]}


class WhileTrainingTest(parameterized.TestCase):
    def test_reading_leaves_training_alone(self):
        learned, answers = [], []
        for reads in (False, True):
            keras.utils.set_random_seed(0)
            model = make_model()
            for number in range(2):
                learn(model, number, epochs=1)
            x, y = digits(0, VALIDATION)
            expected = (
                logits(model, 0),
                model.evaluate(x, y, task="task 0", verbose=0),
            )
            done = threading.Event()

            def read(thread):
                count = 0
                while not done.is_set() and reads:
                    found = model.evaluate(x, y, task="task 0", verbose=0)
                    self.assertEqual(found, expected[1])
                    np.testing.assert_array_equal(logits(model, 0), expected[0])
                    count += 1
                return count

            with futures.ThreadPoolExecutor(2) as threads:
                reading = [threads.submit(read, n) for n in range(2)]
                try:
                    history = begin(
                        model, 2, validation_data=digits(2, VALIDATION)
                    )
                    report = consolidate(model, 2)
                finally:
                    done.set()
                answers.append(sum(one.result() for one in reading))
            learned.append(
                (history.history, report.effects, model.bank.to_bytes())
            )
        self.assertEqual(*learned)
        self.assertGreater(answers[1], 1)

    def test_a_second_change_is_refused(self):
        model = make_model()
        learn(model, 0)
        model.add_task("task 1", layers.Dense(10))
        waits = Waits()
        x, y = digits(1, TRAIN)
        before = model.bank.to_bytes()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        with futures.ThreadPoolExecutor(1) as other:
            training = other.submit(
                model.fit, x, y, verbose=0, callbacks=[waits]
            )
            self.assertTrue(waits.there.wait(60))
            try:
                for change in (
                    lambda: model.fit(x, y, verbose=0),
                    lambda: model.train_on_batch(x, y),
                    lambda: model.consolidate((x, y), verbose=0),
                    lambda: model.add_task("b", layers.Dense(10)),
                    model.discard_task,
                    lambda: model.compile("sgd", "mse"),
                    lambda: model.set_weights(model.get_weights()),
                    lambda: model.save(os.path.join(folder, "a.keras")),
                ):
                    with self.assertRaisesRegex(RuntimeError, "`fit`"):
                        change()
                self.assertEqual(logits(model, 0).shape, (200, 10))
            finally:
                waits.go_on.set()
            training.result()
        self.assertEqual(model.bank.to_bytes(), before)
        consolidate(model, 1)
        self.assertEqual(model.tasks, ("task 0", "task 1"))

    def test_metrics_that_cannot_be_copied(self):
        class Counts(tsn_keras.ContinualModel):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.largest = keras.metrics.Mean(name="largest")

            def test_step(self, data):
                results = super().test_step(data)
                self.largest.update_state(keras.ops.max(data[0], axis=-1))
                return {**results, "largest": self.largest.result()}

        model = make_model(model_class=Counts)
        for number in range(2):
            learn(model, number)
        x, y = digits(0, VALIDATION)

        def evaluate(number):
            return model.evaluate(
                *(part[: 100 + 50 * number] for part in (x, y)),
                task=f"task {number}",
                verbose=0,
                return_dict=True,
            )

        expected = [evaluate(0), evaluate(1)]
        found = in_threads(4, lambda n: [evaluate(n % 2) for _ in range(3)])
        for thread, results in enumerate(found):
            self.assertEqual(results, [expected[thread % 2]] * 3)
