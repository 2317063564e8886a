"""Several tasks in one file for microcontrollers."""

import re

import numpy as np
from absl.testing import parameterized

from tests.lite.lite_test_case import LiteTestCase
from tests.lite.micro.micro_test_case import (
    HAS_TFLITE_MICRO,
    data_of,
    dense_model,
    needs_tflite_micro,
)
from tsn_keras import lite


class MicroBundleTest(LiteTestCase):
    def export(self, model, **arguments):
        return lite.export_micro_bundle(
            model,
            self.path,
            **{
                "representative_data": data_of(model),
                "min_agreement": 0,
                **arguments,
            },
        )

    def plain(self, model, name):
        path = self.folder / f"{name}.tflite"
        lite.export_task(
            model,
            path,
            name,
            precision="int8",
            compression="none",
            representative_data=data_of(model)[name],
            min_agreement=0,
        )
        return path

    @needs_tflite_micro
    def test_each_task_answers_as_its_own_file(self):
        # Of different numbers of classes, and scales.
        model = dense_model(classes=(4, 3, 6))
        report = self.export(model)
        runner = lite.MicroRunner(self.path, report.figures.arena_bytes)
        self.assertEqual(runner.tasks, model.bank.tasks)
        answers = []
        for name, x in data_of(model).items():
            # Tasks in turn: nothing of one stays for the next.
            for task in (runner.tasks[0], name):
                answers.append(runner.predict(x, task))
            own = lite.MicroRunner(self.plain(model, name)).predict(x)
            np.testing.assert_array_equal(answers[-1], own)
        self.assertEqual([a.shape[1] for a in answers[1::2]], [4, 3, 6])

    @needs_tflite_micro
    def test_the_arena_is_the_smallest(self):
        model = dense_model()
        figures = self.export(model).figures
        arena = figures.arena_bytes
        self.assertGreater(arena, figures.largest_layer)
        lite.MicroRunner(self.path, arena).predict(data_of(model)["task 0"])
        for size in (1, arena // 2, arena - 64):
            with self.assertRaisesRegex(lite.ExportError, "larger `arena`"):
                lite.MicroRunner(self.path, size)
        self.path.unlink()
        # The layer would fit, and not all else.
        message = f"needs {arena:,} bytes of memory.*dense.*max_arena"
        with self.assertRaisesRegex(lite.ExportError, message):
            self.export(model, max_arena=arena - 64)
        self.assertEmpty(list(self.folder.iterdir()))
        self.export(model, max_arena=arena)

    def test_many_tasks_take_few_bytes(self):
        model = dense_model(classes=(4,) * 3, kept=0.05)
        report = self.export(model)
        self.assertLess(report.figures.flash_bytes, 0.4 * report.plain_bytes)
        self.assertEqual(
            report.fraction,
            report.to_dict()["flash_bytes"] / (report.dense_bytes),
        )
        self.assertEqual(report.figures.forms["bitmap"], 6)
        self.assertEqual(
            report.figures.arena_bytes is not None, HAS_TFLITE_MICRO
        )
        names = dict(lite.check_microcontroller(self.path.read_bytes()))
        self.assertContainsSubset(["IF", "LESS", "CUSTOM:TFLM_DECODE"], names)
        self.assertIn(f"{report.figures.flash_bytes:,}", str(report))

    def test_sources_have_all_that_firmware_needs(self):
        report = self.export(dense_model(classes=(4, 3), units=(64,)))
        source, header, main = lite.export_c_array(self.path)
        text, figures = header.read_text(), report.figures
        size = re.search(r"g_task_size = (\d+);", source.read_text())
        self.assertEqual(int(size.group(1)), figures.flash_bytes)
        for method in ("Decode", "FullyConnected", "If", "Less", "PadV2"):
            self.assertIn(f"resolver.Add{method}();", text)
        self.assertIn("g_task_operator_count = 5;", text)
        self.assertIn("g_task_takes_task = true;", text)
        if HAS_TFLITE_MICRO:
            arena = f"g_task_arena_size = {figures.arena_bytes};"
            self.assertIn(arena, text)
        # Names, numbers of classes, and two scales and zero points each.
        rows = re.findall(
            r'{"(task \d)", (\d)((?:, [-\d.e]+f, -?\d+){2})}', text
        )
        self.assertEqual(
            [row[:2] for row in rows], [("task 0", "4"), ("task 1", "3")]
        )
        scales = [float(re.findall(r"[\d.]+e-\d+", row[2])[0]) for row in rows]
        # The inputs of the second task are twice those of the first.
        self.assertAlmostEqual(scales[1] / scales[0], 2, places=3)
        self.assertIn("g_task_tasks[task]", main.read_text())

    def test_plain_weights_for_speed(self):
        report = self.export(dense_model(), forms=["plain"])
        self.assertEqual(set(report.figures.forms), {"plain"})
        self.assertEqual(report.figures.largest_layer, 0)

    @parameterized.named_parameters(
        ("no_data", {"representative_data": None}, "none of: .*task 0"),
        ("some_data", {"representative_data": {}}, "none of: .*task 1"),
        ("forms", {"forms": ["zip"]}, "forms"),
        ("fraction", {"min_agreement": 2}, "min_agreement"),
        ("tasks", {"tasks": ["nobody"]}, "nobody"),
        ("arena", {"max_arena": 0}, "max_arena"),
    )
    def test_bad_arguments(self, arguments, message):
        model = dense_model(classes=(4, 4), units=(8,))
        with self.assertRaisesRegex(ValueError, message):
            self.export(model, **arguments)
        self.assertEmpty(list(self.folder.iterdir()))

    def test_layers_that_cannot_fit_are_named(self):
        model = dense_model()
        message = "dense.*7,?[0-9]+ bytes when.*max_arena.* 1,000"
        with self.assertRaisesRegex(lite.ExportError, message):
            self.export(model, max_arena=1000)
        self.assertEmpty(list(self.folder.iterdir()))
