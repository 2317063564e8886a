"""The runner of bundles and task files: what it needs, says and computes."""

import ast
import asyncio
import contextlib
import functools
import importlib.util
import io
import json
import os
import pathlib
import runpy
import sys
import tempfile
import zipfile
from unittest import mock

import keras
import numpy as np
from absl.testing import absltest, parameterized

from tests import digits_tasks
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tests.threads import at_once
from tsn_keras import lite
from tsn_keras.inference import InputMeans
from tsn_keras.lite import runner
from tsn_keras.lite.bundles.metadata import sign
from tsn_keras.lite.files.flatbuffer import FlatModel

NAMES = ("task 0", "task 1", "task 2")


def load(path):
    """Returns a Python file as a module of its own."""
    spec = importlib.util.spec_from_file_location("copied_runner", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bare(path):
    """Returns the bytes of a file without what it says of itself."""
    model = FlatModel.from_bytes(path.read_bytes())
    model.keep_metadata([])
    model.drop_buffers(join=False)
    return model.to_bytes()


class RunnerFileTest(LiteTestCase):
    """What it needs, and which files it takes."""

    def test_it_imports_nothing_of_ours(self):
        tree = ast.parse(pathlib.Path(runner.__file__).read_text("utf-8"))
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                self.assertEqual(node.level, 0)
                imported.add(node.module)
        tops = {name.partition(".")[0] for name in imported}
        others = tops - set(sys.stdlib_module_names)
        self.assertEqual(others, {"ai_edge_litert", "numpy"})

    def test_as_a_program_it_says_what_a_file_holds(self):
        model = small_models.make_model(tasks=2)
        names = {"task 1": ["a", "b", "c", "d"]}
        lite.export_bundle(model, self.path, class_names=names)
        path, printed = lite.copy_runner(self.folder), io.StringIO()
        with (
            mock.patch.object(sys, "argv", ["runner.py", str(self.path)]),
            contextlib.redirect_stdout(printed),
        ):
            runpy.run_path(str(path), run_name="__main__")
        self.assertEqual(
            printed.getvalue().splitlines(),
            [
                "task 0",
                "task 1: a, b, c, d",
                "takes float32 [20] for each example",
            ],
        )

    def test_a_copy_does_the_same(self):
        model = small_models.make_model(tasks=2)
        lite.export_bundle(model, self.path)
        x = small_models.random_inputs(model)
        path = lite.copy_runner(self.folder)
        self.assertEqual(path, self.folder / "runner.py")
        self.assertEqual(lite.copy_runner(self.folder), path)
        copied = load(path).TaskRunner(self.path, num_threads=1)
        self.assertEqual(copied.tasks, ("task 0", "task 1"))
        for task in copied.tasks:
            expected = model.predict(x, task=task, verbose=0)
            found = copied.predict(x, task=task)
            np.testing.assert_allclose(found, expected, atol=1e-5)

    @parameterized.parameters("float32", "dynamic_int8", "int8")
    def test_a_task_file(self, precision):
        model = small_models.make_model(tasks=2)
        x = small_models.random_inputs(model)
        data = {"representative_data": x} if precision == "int8" else {}
        lite.export_task(
            model, self.path, "task 1", precision=precision, **data
        )
        found = lite.TaskRunner(self.path)
        (name,) = found.tasks
        self.assertEqual(found.selected, name)
        self.assertIsNone(found.bank_sha256)
        self.assertEqual(found.inputs[0]["shape"], [1, 20])
        expected = model.predict(x, task="task 1", verbose=0)
        limit = 1e-5 if precision == "float32" else 0.1 * np.ptp(expected)
        answers = found.predict(x), found.predict(x, task=name)
        answers += tuple(at_once(*[lambda: found.predict(x)] * 4))
        for answer in answers:
            self.assertEqual(answer.dtype, np.float32)
            np.testing.assert_allclose(answer, expected, atol=limit)
        with self.assertRaisesRegex(ValueError, "'x'. The file holds: "):
            found.select("x")

    def test_what_a_task_file_says_of_itself(self):
        model = small_models.make_model(tasks=1)
        lite.export_task(model, self.path)
        self.path.write_bytes(bare(self.path))
        found = lite.TaskRunner(self.path)
        # The name of the file, if it says nothing.
        self.assertEqual(found.tasks, ("task",))
        self.assertIsNone(found.labels)
        text = {"task": "pets", "class_names": ["cat", "dog", "bird", "fish"]}
        with zipfile.ZipFile(self.path, "a") as archive:
            archive.writestr("task.json", json.dumps(text))
        found = lite.TaskRunner(self.path)
        self.assertEqual(found.tasks, ("pets",))
        self.assertEqual(found.labels, text["class_names"])
        self.assertEqual(found.predict(np.zeros((3, 20))).shape, (3, 4))

    def test_damage_of_a_task_file(self):
        model = small_models.make_model(tasks=1)
        lite.export_task(model, self.path)
        content = self.path.read_bytes()
        for part in (0.0, 0.01, 0.1, 0.5, 0.9):
            self.path.write_bytes(content[: int(part * len(content))])
            with self.assertRaises(ValueError):
                lite.TaskRunner(self.path)

    @parameterized.parameters("classes", "class_names")
    def test_what_a_bundle_says_of_its_tasks(self, key):
        model = small_models.make_model(tasks=2)
        lite.export_bundle(model, self.path)
        plain = lite.TaskRunner(self.path)
        tasks = [dict(entry) for entry in plain.metadata["tasks"]]
        tasks[0][key] = None
        tasks[1][key] = ["cat", "dog", "bird", "fish"]
        metadata = {**plain.metadata, "tasks": tasks}
        del metadata["file_sha256"]
        self.path.write_bytes(sign(bare(self.path), metadata))
        found = lite.TaskRunner(self.path)
        self.assertEqual(found.class_names, {"task 1": tasks[1][key]})
        with self.assertRaisesRegex(ValueError, "No task is selected"):
            found.labels
        with self.assertRaisesRegex(ValueError, "Did you mean 'task 1'"):
            found.select("task1")
        found.select("task 0")
        self.assertIsNone(found.labels)
        found.select("task 1")
        self.assertEqual(found.labels, tasks[1][key])

    def test_a_later_version(self):
        model = small_models.make_model(tasks=1)
        with mock.patch("tsn_keras.lite.bundles.metadata.VERSION", 99):
            with self.assertRaisesRegex(lite.ExportError, "version 99"):
                lite.export_bundle(model, self.path)

    def test_no_such_file(self):
        message = "no file.*missing.tflite.*seen from"
        with self.assertRaisesRegex(FileNotFoundError, message):
            lite.TaskRunner(self.folder / "missing.tflite")


class TaskRunnerTest(absltest.TestCase):
    """One runner of a bundle in many threads."""

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
        make = mock.patch.object(runner, "Network", wraps=runner.Network)
        with mock.patch.object(runner, "MOST_BYTES", 1), make as made:
            for name in ("task 0", *NAMES, "task 2"):
                self.assert_is(self.runner.predict(self.x, task=name), name)
        self.assertEqual(made.call_count, 2)


class InferTaskTest(LiteTestCase):
    """It finds the tasks that the model finds."""

    def learned(self, inference):
        model = digits_tasks.make_model(inference=inference)
        for number in range(3):
            digits_tasks.learn(model, number)
        lite.export_bundle(model, self.path, batch_size=None)
        return model, lite.TaskRunner(self.path)

    @parameterized.named_parameters(
        ("by_default", "confidence", [{}, {"batch": "together"}]),
        ("means", "input_means", [{}, {"max_tasks": 1}]),
        ("parts", InputMeans(width=3, most=10), [{"batch": "together"}]),
        (
            "both",
            ["input_means", "confidence"],
            [{}, {"max_tasks": 1}, {"max_tasks": 2, "batch": "together"}],
        ),
    )
    def test_as_the_model(self, inference, calls):
        model, runner = self.learned(inference)
        some = {"tasks": ["task 2", "task 0"]}
        x, _ = digits_tasks.digits(1, digits_tasks.TEST)
        for arguments in (*calls, some):
            found = runner.infer_task(x, **arguments)
            expected = model.infer_task(x, **arguments)
            self.assertEqual(found.names, expected.names)
            for field in ("tasks", "nearest"):
                same = getattr(found, field) == getattr(expected, field)
                self.assertGreater(same.mean(), 0.99)
            # The same tasks are ruled out.
            self.assertGreater(
                np.mean((found.likelihood > 0) == (expected.likelihood > 0)),
                0.99,
            )
            for field in ("likelihood", "unlikeness"):
                np.testing.assert_allclose(
                    getattr(found, field), getattr(expected, field), atol=0.02
                )

    def test_several_outputs_and_inputs(self):
        inputs = {n: keras.Input((32,), name=n) for n in ("right", "left")}
        both = keras.layers.Concatenate()([inputs["right"], inputs["left"]])
        hidden = keras.layers.Dense(24, activation="relu")(both)
        model = digits_tasks.make_model(
            keras.Model(inputs, hidden),
            loss={
                "z": "binary_crossentropy",
                "a": keras.losses.SparseCategoricalCrossentropy(True),
            },
            metrics=None,
            inference=["input_means", "confidence"],
        )
        for number in range(2):
            x, y = digits_tasks.digits(number, digits_tasks.TRAIN)
            x = {"right": x[:, :32], "left": x[:, 32:]}
            features = keras.Input((24,))
            outputs = {
                "z": keras.layers.Dense(1, "sigmoid")(features),
                "a": keras.layers.Dense(10)(features),
            }
            head = keras.Model(features, outputs)
            model.add_task(f"task {number}", head=head)
            labels = {"z": np.float32(y > 4)[:, None], "a": y}
            model.fit(x, labels, epochs=2, verbose=0)
            model.consolidate((x, labels), verbose=0)
        lite.export_bundle(model, self.path)
        found = lite.TaskRunner(self.path).infer_task(x)
        expected = model.infer_task(x)
        np.testing.assert_allclose(
            found.unlikeness, expected.unlikeness, rtol=1e-3, atol=1e-3
        )
        self.assertGreater(np.mean(found.nearest == "task 1"), 0.9)

    def test_bad_arguments(self):
        _, runner = self.learned("confidence")
        x, _ = digits_tasks.digits(0, digits_tasks.TEST)
        for error, message, arguments in (
            (TypeError, "`tasks` must be a list of names", {"tasks": "task 0"}),
            (ValueError, "Unknown task 'x'", {"tasks": ["x"]}),
            (ValueError, "`tasks` is empty", {"tasks": []}),
            (ValueError, "`batch` must be one of", {"batch": "all"}),
            (TypeError, "`max_tasks` must be an integer", {"max_tasks": 1.5}),
            (ValueError, "`max_tasks` must be at least 1", {"max_tasks": 0}),
            (ValueError, "need no predictions", {"max_tasks": 1}),
            (ValueError, "at least one row", {"x": x[:0]}),
            (ValueError, "the shapes", {"x": x[:, :9]}),
            (ValueError, "not finite", {"x": np.where(x > 0.9, np.nan, x)}),
        ):
            with self.assertRaisesRegex(error, message):
                runner.infer_task(**{"x": x, **arguments})

    def test_other_shapes_that_no_network_sees(self):
        """The means would take parts of any number of entries."""
        _, runner = self.learned(InputMeans(most=10))
        x, _ = digits_tasks.digits(0, digits_tasks.TEST)
        for other in (x[:, :32], np.tile(x, 2)):
            with self.assertRaisesRegex(ValueError, "the shapes"):
                runner.infer_task(other)

    def test_files_that_cannot_tell(self):
        model = small_models.make_model(tasks=2)
        x = small_models.random_inputs(model, 3)
        lite.export_bundle(model, self.path)
        with self.assertRaisesRegex(ValueError, "'task 0'.*learn_inference"):
            lite.TaskRunner(self.path).infer_task(x)
        lite.export_task(model, self.path, "task 1")
        with self.assertRaisesRegex(ValueError, "'task 1'.*learn_inference"):
            lite.TaskRunner(self.path).infer_task(x)
