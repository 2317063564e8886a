"""One runner of a bundle in many threads."""

import asyncio
import functools
import os
import tempfile
from unittest import mock

import numpy as np
from absl.testing import absltest

from tests.lite import small_models
from tests.threads import at_once
from tsn_keras import lite
from tsn_keras.lite import task_runner

NAMES = ("task 0", "task 1", "task 2")


class TaskRunnerTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.path = os.path.join(folder, "bundle.tflite")
        model = small_models.make_model(tasks=3)
        lite.export_bundle(model, cls.path)
        cls.x = small_models.random_inputs(model, 5)
        runner = lite.TaskRunner(cls.path)
        cls.expected = {}
        for name in NAMES:
            runner.select(name)
            cls.expected[name] = runner.predict(cls.x)

    def setUp(self):
        super().setUp()
        self.runner = lite.TaskRunner(self.path)
        self.runner.select("task 0")

    def assert_is(self, found, name):
        np.testing.assert_array_equal(found, self.expected[name])

    def test_a_thread_selects_for_itself(self):
        def ask(name):
            self.runner.select(name)
            return [self.runner.predict(self.x) for _ in range(100)]

        names = NAMES * 3
        answers = at_once(*(functools.partial(ask, name) for name in names))
        for name, found in zip(names, answers):
            for one in found:
                self.assert_is(one, name)
        self.assert_is(self.runner.predict(self.x), "task 0")
        self.assertEqual(self.runner.selected, "task 0")

    def test_a_task_for_one_prediction(self):
        def ask(seed):
            names = np.random.default_rng(seed).choice(NAMES, 50).tolist()
            return [(n, self.runner.predict(self.x, task=n)) for n in names]

        for found in at_once(*(functools.partial(ask, s) for s in range(8))):
            for name, answer in found:
                self.assert_is(answer, name)
        self.assertEqual(self.runner.selected, "task 0")
        with self.assertRaisesRegex(ValueError, "'x'.*'task 0'"):
            self.runner.predict(self.x, task="x")

    def test_what_was_selected_where_the_runner_was_made(self):
        def ask():
            return self.runner.predict(self.x)

        for name in NAMES:
            self.runner.select(name)
            for found in at_once(ask, ask):
                self.assert_is(found, name)

    def test_nothing_was_selected(self):
        runner = lite.TaskRunner(self.path)

        def ask():
            runner.select("task 1")
            return runner.predict(self.x)

        (found,) = at_once(ask)
        self.assert_is(found, "task 1")
        self.assertIsNone(runner.selected)
        with self.assertRaisesRegex(ValueError, "No task is selected"):
            runner.predict(self.x)

    def test_coroutines_select_for_themselves(self):
        async def ask(name):
            self.runner.select(name)
            await asyncio.sleep(0)
            return await asyncio.to_thread(self.runner.predict, self.x)

        async def ask_all():
            return await asyncio.gather(*map(ask, NAMES))

        for name, found in zip(NAMES, asyncio.run(ask_all())):
            self.assert_is(found, name)

    def test_results_are_the_callers_own(self):
        found = self.runner.predict(self.x)
        kept = found.copy()
        self.runner.predict(2 * self.x)
        np.testing.assert_array_equal(found, kept)
        found[:] = 0
        self.assert_is(self.runner.predict(self.x), "task 0")

    def test_few_networks_are_kept_where_they_are_large(self):
        make = mock.patch.object(
            task_runner, "SignatureRunner", wraps=task_runner.SignatureRunner
        )
        with mock.patch.object(task_runner, "MOST_BYTES", 1), make as made:
            for name in ("task 0", *NAMES, "task 2"):
                self.assert_is(self.runner.predict(self.x, task=name), name)
        self.assertEqual(made.call_count, 2)
