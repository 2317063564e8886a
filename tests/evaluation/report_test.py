"""Tests of the report."""

import json
import os
import pathlib
import tempfile
import types
from unittest import mock

import numpy as np
from absl.testing import parameterized

from tsn_keras.evaluation import AccuracyMatrix, build_report, write_report


def parts(**changes):
    matrix = AccuracyMatrix(["a", "b"])
    for row, column, value in ((0, 0, 0.9), (1, 0, 0.8), (1, 1, 0.7)):
        matrix.record(row, column, value)
    capacity = types.SimpleNamespace(
        bytes={"codes": np.int64(30), "masks": 20},
        total_bytes=50,
        dense_bytes=100,
        fraction=np.float32(0.5),
    )
    result = {
        "tasks": [{"name": "a", "sparsity": {"dense/kernel": np.float64(0.9)}}],
        "matrix": matrix,
        "capacity": capacity,
        "bit_exact": np.bool_(True),
        "seconds": 1.5,
        "config": {"widths": (2, 4), "folder": pathlib.PurePosixPath("/x")},
    }
    return {**result, **changes}


class ReportTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(
            self.enterContext(tempfile.TemporaryDirectory()), "r.json"
        )

    def test_what_is_written_is_what_is_returned(self):
        report = write_report(self.path, **parts(single=[0.9, 0.6]))
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(json.load(file), report)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["r.json"])
        self.assertEqual(
            list(report),
            ["tasks", "accuracy_matrix", "metrics", "capacity", "bit_exact"]
            + ["seconds", "config", "versions"],
        )
        self.assertEqual(report["accuracy_matrix"], [[0.9, None], [0.8, 0.7]])
        self.assertEqual(
            report["capacity"],
            {
                "bytes": {"codes": 30, "masks": 20},
                "total_bytes": 50,
                "dense_bytes": 100,
                "fraction": 0.5,
            },
        )
        self.assertIs(report["bit_exact"], True)
        self.assertEqual(report["config"], {"widths": [2, 4], "folder": "/x"})

    def test_metrics(self):
        metrics = build_report(**parts(single=[0.9, 0.6]))["metrics"]
        self.assertAlmostEqual(metrics["average_accuracy"], 0.75)
        self.assertAlmostEqual(metrics["backward_transfer"], -0.1)
        self.assertAlmostEqual(metrics["forward_transfer"], 0.1)
        self.assertAlmostEqual(metrics["forgetting"], 0.1)
        metrics = build_report(**parts())["metrics"]
        self.assertIsNone(metrics["forward_transfer"])

    def test_a_run_that_was_stopped(self):
        matrix = AccuracyMatrix(3)
        matrix.record(0, 0, 0.9)
        metrics = build_report(**parts(matrix=matrix))["metrics"]
        self.assertEqual(set(metrics.values()), {None})
        self.assertLen(metrics, 4)

    def test_versions(self):
        versions = build_report(**parts())["versions"]
        self.assertEqual(
            set(versions),
            {"python", "tensorflow", "keras", "numpy", "tsn_keras"}
            | {"tensorflow-model-optimization"},
        )
        self.assertEqual(versions["numpy"], np.__version__)

    def test_no_number_is_null(self):
        values = [float("nan"), np.float32("inf"), np.array([1.0, np.nan])]
        report = write_report(self.path, **parts(), values=values)
        self.assertEqual(report["values"], [None, None, [1.0, None]])

    def test_extra_keys(self):
        self.assertEqual(build_report(**parts(), note="x")["note"], "x")
        with self.assertRaisesRegex(ValueError, r"\['versions'\]"):
            build_report(**parts(), versions={})

    def test_what_json_does_not_know(self):
        with self.assertRaisesRegex(TypeError, r"\['config'\]\['f'\]"):
            write_report(self.path, **parts(config={"f": object()}))
        self.assertFalse(os.path.exists(self.path))

    def test_a_broken_write_leaves_the_old_report(self):
        write_report(self.path, **parts(seconds=1))
        with mock.patch.object(json, "dump", side_effect=OSError("full")):
            with self.assertRaisesRegex(OSError, "full"):
                write_report(self.path, **parts(seconds=2))
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["seconds"], 1)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["r.json"])

    def test_missing_folders_are_made(self):
        path = pathlib.Path(self.path).parent / "new" / "r.json"
        write_report(path, **parts())
        self.assertTrue(path.exists())
