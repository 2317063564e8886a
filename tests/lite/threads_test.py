"""Exports in one thread, while others predict and train."""

import threading
import time
from concurrent import futures
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from absl.testing import parameterized

from tests.digits_tasks import (
    TEST,
    begin,
    digits,
    logits,
    make_model,
    mlp,
)
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tests.threads import at_once
from tsn_keras import lite
from tsn_keras.lite.files import conversion

EXPORTS = {
    "saved_model": lambda model, path: model.export(
        path, task="task 0", verbose=False
    ),
    "file": lambda model, path: model.export(
        path, format="litert", task="task 0"
    ),
    "bundle": lite.export_bundle,
    "dense": lite.export_dense,
}


def normalized():
    return mlp(8, extra=[keras.layers.BatchNormalization()])


class ThreadsTest(LiteTestCase):
    @parameterized.parameters(*EXPORTS)
    def test_others_predict(self, kind):
        model = small_models.make_model(
            small_models.dense_backbone(activation="tanh"), tasks=2
        )
        model.switch.to("task 1")
        x = small_models.random_inputs(model)
        expected = np.array(model(x))
        views = [model.predict(x, task=t, verbose=0) for t in model.tasks]
        stop = threading.Event()
        found = []

        def ask():
            while not stop.is_set():
                found.append(np.array(model(x)))

        def ask_views():
            while not stop.is_set():
                for task, view in zip(model.tasks, views):
                    answer = model.predict(x, task=task, verbose=0)
                    np.testing.assert_array_equal(answer, view)

        def export():
            try:
                EXPORTS[kind](model, self.path)
            finally:
                stop.set()

        at_once(export, ask, ask_views)
        self.assertNotEmpty(found)
        for answer in found:
            np.testing.assert_array_equal(answer, expected)

    def test_another_trains(self):
        model = make_model(normalized(), pruning=None)
        small_models.add_random_task(model, 0, keras.layers.Dense(10))
        expected = logits(model, 0)
        learned = []
        x, _ = digits(0, TEST)
        for exports in (True, False):
            begun = threading.Event()
            tells = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs, begun=begun: begun.set()
            )
            with futures.ThreadPoolExecutor(1) as other:
                training = other.submit(
                    begin, model, 1, epochs=5, callbacks=[tells]
                )
                begun.wait()
                while exports and not training.done():
                    EXPORTS["saved_model"](model, self.folder / "saved")
                    served = tf.saved_model.load(self.folder / "saved")
                    np.testing.assert_allclose(
                        served.serve(x), expected, atol=1e-5
                    )
                training.result()
            learned.append([np.array(v) for v in model.switch.private])
            model.discard_task()
        for one, other in zip(*learned, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_two_tasks_at_once(self):
        model = small_models.make_model(tasks=2)
        x = small_models.random_inputs(model)

        def export(task):
            path = self.folder / f"{task}.tflite"
            model.export(path, format="litert", task=task)
            return lite.run_file(path, x)

        found = at_once(lambda: export("task 0"), lambda: export("task 1"))
        for task, outputs in zip(model.tasks, found):
            expected = model.predict(x, task=task, verbose=0)
            np.testing.assert_allclose(outputs, expected, atol=1e-5)

    def test_logs_are_as_before(self):
        before = logging.get_verbosity()

        def convert(number):
            time.sleep(0.1 * number)
            spec = tf.TensorSpec((), tf.float32)
            function = tf.function(lambda x: x).get_concrete_function(spec)
            module = conversion.Holder([])
            conversion.convert(module, {"f": function}, {"seconds": number})

        def sleep(path, names, settings):
            time.sleep(0.2 + 0.3 * settings["seconds"])

        with mock.patch.object(conversion, "run_converter", sleep):
            at_once(lambda: convert(0), lambda: convert(1))
        self.assertEqual(logging.get_verbosity(), before)
