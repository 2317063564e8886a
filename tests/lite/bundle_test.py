"""One file of many tasks."""

import functools
import json
import os
import pathlib
import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite.bundles import layout


def networks_of(path):
    """Returns the files that `select` puts out, as any host would."""
    interpreter = lite.make_interpreter(path.read_bytes())
    select = interpreter.get_signature_runner("select")
    tasks = lite.TaskRunner(path).tasks
    numbers = [np.array([number], np.int32) for number in range(len(tasks))]
    return [select(task=number)["file"].tobytes() for number in numbers]


CLASS_NAMES = {"task 1": ["a", "b", "c", 'd"']}


@functools.cache
def pair_in_a_bundle():
    """Returns the bundle of two tasks, for tests that only read it."""
    model = small_models.make_model(tasks=2)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "pair.tflite")
        lite.export_bundle(model, path, class_names=CLASS_NAMES)
        return path.read_bytes()


class BundleTest(LiteTestCase):
    def assert_runs_as(self, model, names, xnnpack=True):
        operators = lite.operators(self.path.read_bytes())
        custom = [name for name, _ in operators if "CUSTOM" in name]
        self.assertEmpty(custom)
        x = small_models.random_inputs(model, 5)
        runner = lite.TaskRunner(self.path, xnnpack=xnnpack)
        self.assertEqual(runner.tasks, tuple(names))
        for name in (*names, names[0]):
            runner.select(name)
            expected = model.predict(x, task=name, verbose=0)
            actual = runner.predict(x)
            np.testing.assert_allclose(actual, expected, atol=1e-5)

    @parameterized.named_parameters(
        ("all_slots_of_one_bit", {"width": 1, "kept": 1.0}),
        ("hardly_any_slots", {"kept": 0.01, "private_width": 32}),
        ("first_kernel_shared", {"first_plane": 0}),
        ("uneven_kernels", {"uneven": True}),
        ("uneven_kernels_shared", {"plane": 0, "uneven": True}),
    )
    def test_tasks(self, arguments):
        model = small_models.make_model(tasks=3, **arguments)
        lite.export_bundle(model, self.path)
        self.assert_runs_as(model, model.tasks)

    @parameterized.parameters(((1, 2, 3, 4),), ((5, 6, 7, 8),))
    def test_shared_codes_of_any_width(self, widths):
        """Each kernel is stored in the width of its own codes."""
        backbone = small_models.dense_backbone((12, 9, 8, 7))
        model = small_models.make_model(
            backbone, tasks=3, plane=0, width=widths, private_width=16
        )
        lite.export_bundle(model, self.path)
        self.assert_runs_as(model, model.tasks)

    def test_no_private_variables(self):
        backbone = small_models.dense_backbone(use_bias=False)
        model = tsn_keras.ContinualModel(backbone, sharing=None)
        for number in range(2):
            head = keras.layers.Activation("softmax")
            small_models.add_random_task(model, number, head)
        lite.export_bundle(model, self.path)
        self.assert_runs_as(model, model.tasks)

    def test_tasks_of_every_kind_together(self):
        model = small_models.make_model(tasks=2, plane=0, width=2)
        for number, arguments in enumerate(
            (
                {"plane": 5, "width": 5, "private_width": 4},
                {"plane": 0, "width": 4, "private_width": 16},
                {"plane": 5, "width": 32, "private_width": 32},
            )
        ):
            head = keras.layers.Dense(4)
            small_models.add_random_task(model, number + 2, head, **arguments)
        lite.export_bundle(model, self.path, batch_size=None)
        self.assert_runs_as(model, model.tasks, xnnpack=False)

    def test_some_tasks_that_share_with_others(self):
        model = small_models.make_model(tasks=4, plane=0)
        lite.export_bundle(model, self.path, ["task 3", "task 1"])
        self.assert_runs_as(model, ["task 3", "task 1"])

    def test_private_variables_that_are_constant(self):
        model = small_models.make_model(tasks=2)
        name = "_private"
        zeros = mock.patch.object(
            small_models, name, lambda _, v: np.zeros(v.shape, np.float32)
        )
        with zeros:
            head = keras.layers.Dense(4)
            small_models.add_random_task(model, 2, head)
        lite.export_bundle(model, self.path)
        self.assert_runs_as(model, model.tasks)

    @parameterized.parameters(False, True)
    def test_a_task_adds_what_it_is_packed_in(self, uneven):
        backbone = small_models.dense_backbone((200, 100), 784)
        model = small_models.make_model(
            backbone, tasks=6, kept=0.05, uneven=uneven
        )
        names = list(model.tasks)
        sizes = [
            lite.export_bundle(model, self.path, names[:count]).bytes
            for count in (2, 6)
        ]
        packed = lite.packed_bytes(model.bank, names[2:])
        self.assertLess(sizes[1] - sizes[0], 1.1 * packed)
        # All of them are smaller than one dense network.
        dense = 4 * (784 * 200 + 200 * 100 + 100 * 4)
        self.assertLess(sizes[1], 0.25 * dense)

    def test_a_selected_task_is_a_plain_network(self):
        """No operator but those of the task's own file."""
        layers = keras.layers
        backbone = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(6, 3, padding="same", use_bias=False),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, use_bias=False),
                layers.BatchNormalization(),
                layers.Conv2D(5, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(7),
                layers.BatchNormalization(),
            ]
        )
        model = small_models.make_model(backbone, tasks=2)
        lite.export_bundle(model, self.path)
        content = networks_of(self.path)[1]
        operators = [name for name, _ in lite.operators(content)]
        layers = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "RESHAPE"]
        self.assertEqual(sorted(operators), layers)
        lite.export_dense(model, self.folder / "dense.tflite")
        dense = (self.folder / "dense.tflite").stat().st_size
        self.assertLess(len(content), dense)
        # It is a file like any other.
        (self.folder / "network.tflite").write_bytes(content)
        x = small_models.random_inputs(model)
        np.testing.assert_allclose(
            lite.run_file(self.folder / "network.tflite", x),
            model.predict(x, task="task 1", verbose=0),
            atol=1e-5,
        )

    @parameterized.parameters(None, 3)
    def test_frozen_parts_are_stored_once(self, batch_size):
        layers = keras.layers
        frozen = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(40, 3, activation="relu", use_bias=False),
                layers.BatchNormalization(),
                layers.Conv2D(40, 3, activation="relu"),
            ]
        )
        frozen.trainable = False
        backbone = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                frozen,
                layers.Conv2D(4, 3, activation="relu"),
                layers.GlobalAveragePooling2D(),
            ]
        )
        model = small_models.make_model(backbone, tasks=2)
        base = 4 * sum(v.shape.num_elements() for v in model.switch.base)
        report = lite.export_bundle(model, self.path, batch_size=batch_size)
        self.assertBetween(report.bytes, base, 1.7 * base)
        self.assert_runs_as(model, model.tasks)

    def test_what_it_says_of_itself(self):
        self.path.write_bytes(pair_in_a_bundle())
        runner = lite.TaskRunner(self.path)
        self.assertEqual(runner.class_names, CLASS_NAMES)
        first = runner.metadata["tasks"][0]
        self.assertEqual(first["monitor"], "accuracy")
        self.assertEqual(first["quality"], 0.5)
        self.assertIsNone(first["class_names"])
        runner.select("task 1")
        self.assertEqual(runner.labels, CLASS_NAMES["task 1"])
        runner.select("task 0")
        self.assertIsNone(runner.labels)
        self.assertEqual(runner.inputs[0]["shape"], [1, 20])
        self.assertEqual(runner.outputs[0]["shape"], [1, 4])
        self.assertLen(runner.bank_sha256, 64)

    def test_damage_is_noticed(self):
        whole = pair_in_a_bundle()
        for place in (0.0, 0.1, 0.5, 0.9, 0.999):
            index = int(place * len(whole))
            self.path.write_bytes(whole[:index])
            with self.assertRaisesRegex(ValueError, "truncated|damaged"):
                lite.TaskRunner(self.path)
            content = bytearray(whole)
            content[index] ^= 1
            self.path.write_bytes(content)
            with self.assertRaisesRegex(ValueError, "damaged|no bundle"):
                lite.TaskRunner(self.path)

    def test_tasks_are_selected_by_name_first(self):
        self.path.write_bytes(pair_in_a_bundle())
        runner = lite.TaskRunner(self.path)
        with self.assertRaisesRegex(ValueError, "No task is selected"):
            runner.predict(np.zeros((1, 20)))
        with self.assertRaisesRegex(ValueError, "'x'.*'task 0', 'task 1'"):
            runner.select("x")
        runner.select("task 1")
        with self.assertRaisesRegex(ValueError, r"\(None, 20\).*\(1, 19\)"):
            runner.predict(np.zeros((1, 19)))

    def test_nothing_is_left_of_a_file_that_cannot_be_written(self):
        model = small_models.make_model(tasks=1)
        self.path.write_bytes(b"earlier")

        def full_disk(path, content):
            with open(path, "wb") as file:
                file.write(content[:100])
            raise OSError(28, "No space left on device")

        full = mock.patch.object(pathlib.Path, "write_bytes", full_disk)
        for export in (lite.export_bundle, lite.export_task):
            with full, self.assertRaisesRegex(OSError, "No space"):
                export(model, self.path)
        self.assertEqual(os.listdir(self.folder), ["task.tflite"])
        self.assertEqual(self.path.read_bytes(), b"earlier")
        with self.assertRaisesRegex(ValueError, "missing"):
            lite.export_bundle(model, self.folder / "missing" / "a.tflite")

    @parameterized.product(growth=(-1.0, 100.0), gain=(-100.0, 1.0))
    def test_streams_in_all_forms(self, growth, gain):
        """The export itself compares every task with Keras."""
        model = small_models.make_model(tasks=2)
        limits = {
            "LOW_GROWTH": growth,
            "CODE_GROWTH": growth,
            "GROUP_GAIN": gain,
        }
        with mock.patch.multiple(layout, **limits):
            lite.export_bundle(model, self.path)
        runner = lite.TaskRunner(self.path)
        x = small_models.random_inputs(model, 20)
        for task in model.tasks:
            runner.select(task)
            np.testing.assert_allclose(
                runner.predict(x),
                model.predict(x, task=task, verbose=0),
                atol=1e-5,
            )

    def test_a_wrong_bundle_is_not_left_behind(self):
        model = small_models.make_model(tasks=2)
        real = layout.encode_gaps

        def one_too_far(positions, *widths):
            further = np.append(positions[:-1] + 1, positions[-1] + 2)
            return real(further, *widths)

        patch = mock.patch.object(layout, "encode_gaps", one_too_far)
        message = "Task 'task|does not run"
        with patch, self.assertRaisesRegex(lite.ExportError, message):
            lite.export_bundle(model, self.path)
        self.assertEmpty(os.listdir(self.folder))

    @parameterized.parameters(
        ({"class_names": {"x": ["a"]}}, "`class_names`.*'x'.*'task 0'"),
        ({"verification_data": {"x": 0}}, "`verification_data`.*'x'"),
        ({"verification_data": {"task 0": np.zeros((3, 9))}}, r"\(3, 9\)"),
        ({"batch_size": -1}, "`batch_size`.*Received: -1"),
        ({"verification_data": np.zeros((3, 8))}, "dict.*'task 0'.*ndarray"),
        ({"class_names": ["a", "b"]}, "dict.*'task 0'.*list"),
        ({"class_names": {"task 0": ["a"]}}, "'task 0', which has 4.*1 names"),
    )
    def test_bad_arguments(self, arguments, message):
        model = small_models.make_model(tasks=1)
        with self.assertRaisesRegex((TypeError, ValueError), message):
            lite.export_bundle(model, self.path, **arguments)
        self.assertEmpty(os.listdir(self.folder))

    def test_no_tasks(self):
        model = small_models.make_model(tasks=1)
        with self.assertRaisesRegex(ValueError, "no consolidated task"):
            lite.export_bundle(model, self.path, [])
        with self.assertRaisesRegex(ValueError, "Unknown task"):
            lite.export_bundle(model, self.path, ["nothing"])

    def test_the_report_as_a_table(self):
        report = lite.export_bundle(small_models.make_model(), self.path)
        title, header, *rows = str(report).splitlines()
        self.assertRegex(title, f"{report.bytes:,} bytes, .*2 tasks")
        self.assertRegex(header, "^task +equal +difference$")
        self.assertLen(rows, 2)
        self.assertIn("task 1", report._repr_html_())
        entries = json.loads(json.dumps(report.to_dict()))
        self.assertEqual(list(entries["agreements"]), ["task 0", "task 1"])
        self.assertLen(report.to_csv().splitlines(), 3)
        self.assertLen(report.to_dataframe(), 2)
