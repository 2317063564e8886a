import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from examples.beside_dense import (
    data,
    jobs,
    results,
    statistics,
    table,
    training,
)
from examples.beside_dense.rows import ROWS
from tests.example_process import run_example


def make_line(row="wine", variant="default", seed=0, **values):
    """Returns a line as a job writes it, of one task."""
    task = {
        **{"n": 400, "dense": 0.9, "ours": 0.89},
        **{"dense_only_right": 12, "ours_only_right": 8},
    }
    return {
        **{"row": row, "variant": variant, "seed": seed, "fold": 0},
        **{"settings": {}, "kind": ROWS[row].kind, "tasks": [task]},
        **{"bytes": 1000, "fraction": 0.1, "sparsity": 0.9, "bits": 3.0},
        "seconds": {"fit": 6.0, "consolidate": 4.0, "dense_fit": 5.0},
        **values,
    }


def counts(lost, gained, n=1000):
    return {"n": n, "dense_only_right": lost, "ours_only_right": gained}


def squares(ours, dense):
    """Returns what is kept of the squared errors of examples."""
    products = [ours @ ours, dense @ dense, ours @ dense]
    return {
        **{"n": len(ours), "products": products},
        **{"ours_squares": ours.sum(), "dense_squares": dense.sum()},
    }


class DefaultsTest(absltest.TestCase):
    def test_two_rows(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        path = folder / "defaults.jsonl"
        printed = run_example(
            *("-m", "examples.defaults", "--size=small", "--seeds=0"),
            *("--rows=wine,diabetes", "--folds=1", f"--results={path}"),
        )
        self.assertIn("0 of 2 jobs are done", printed)
        self.assertIn("2/2 diabetes default seed 0 fold 1: dense", printed)
        self.assertRegex(printed, r"\n\| wine \| 1 \| \d+\.\d\d \| \d+\.\d\d")
        self.assertRegex(printed, r"\n\| diabetes \| 1 \| .* \| x \d\.\d{3} ")
        self.assertIn("mean gap of 1 classification rows", printed)

        written = path.read_text()
        wine, diabetes = map(json.loads, written.splitlines())
        self.assertEqual((wine["row"], diabetes["row"]), ("wine", "diabetes"))
        for line in (wine, diabetes):
            self.assertLen(line["tasks"], 2)
            self.assertLen(line["kernels"], 2)
            self.assertEqual(line["settings"]["epochs"], 2)
            self.assertBetween(line["sparsity"], 0.0, 1.0)
            self.assertGreater(line["bytes"], 0)
            self.assertLessEqual(
                {"fit", "consolidate", "dense_fit"}, set(line["seconds"])
            )
        for task in wine["tasks"]:
            only = task["dense_only_right"] - task["ours_only_right"]
            self.assertAlmostEqual(
                task["dense"] - task["ours"], only / task["n"]
            )

        again = results.Results(path)
        done = [
            training.Job(row, "default", seed=0, fold=1, size="small")
            for row in ("wine", "diabetes")
        ]
        jobs.run_all(done, again)
        self.assertEqual(path.read_text(), written)
        text = table.make_table(again.lines)
        self.assertTrue(printed.endswith(f"{text}\n"))


class DataTest(parameterized.TestCase):
    @parameterized.parameters(
        name for name, row in ROWS.items() if not row.downloads
    )
    def test_parts_are_apart_and_the_folds_cover_all(self, name):
        row = ROWS[name]
        tasks = row.make_tasks(data.Request(0, fold=1))
        self.assertLen(tasks, 3)
        self.assertLen({task.name for task in tasks}, 3)
        network = row.make_backbone()
        for task in tasks:
            sizes = [len(x) for x, _ in (task.train, task.validation)]
            self.assertAlmostEqual(sizes[1] / sum(sizes), 0.2, delta=0.01)
            self.assertEqual(task.train[0].shape[1:], network.input_shape[1:])
        if name == "several_digits":
            return
        first = tasks[0]
        seen = [
            {x.tobytes() for x in part[0]}
            for part in (first.train, first.validation, first.test)
        ]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            # Wine and the like have a few rows twice.
            self.assertLessEqual(len(seen[one] & seen[other]), 1)

    def test_folds_cover_everything_once(self):
        x = np.arange(50)
        tests = [
            data.two_parts(x, x, data.Request(3, fold))[1][0]
            for fold in range(data.FOLDS)
        ]
        np.testing.assert_array_equal(np.sort(np.concatenate(tests)), x)

    def test_same_request_same_tasks(self):
        first, second = (
            ROWS["several_digits"].make_tasks(data.Request(1, fold=2))
            for _ in range(2)
        )
        for one, other in zip(first, second):
            np.testing.assert_array_equal(one.train[0], other.train[0])
            np.testing.assert_array_equal(one.train[1], other.train[1])


class CompareTest(absltest.TestCase):
    def test_classes(self):
        y = np.array([0, 1, 1, 0])
        dense, ours = np.eye(2)[[0, 1, 0, 0]], np.eye(2)[[0, 0, 1, 0]]
        found = training.compare("classification", y, dense, ours)
        self.assertEqual(found["dense"], 0.75)
        self.assertEqual(found["ours"], 0.75)
        self.assertEqual(found["dense_only_right"], 1)
        self.assertEqual(found["ours_only_right"], 1)

    def test_several_labels_count_one_by_one(self):
        y = np.array([[1.0, 0.0], [0.0, 1.0]])
        found = training.compare("several labels", y, y, np.full((2, 2), 0.9))
        self.assertEqual(found["n"], 4)
        self.assertEqual(found["dense_only_right"], 2)
        self.assertEqual(found["ours"], 0.5)

    def test_errors(self):
        y = np.array([[0.0], [2.0]])
        found = training.compare("regression", y, y + 0.5, y + 1.0)
        self.assertEqual(found["dense_squares"], 0.5)
        self.assertEqual(found["ours_squares"], 2.0)
        self.assertEqual(found["dense"], 0.75)
        self.assertEqual(found["ours"], 0.0)
        self.assertEqual(found["products"], [2.0, 0.125, 0.5])


class StatisticsTest(parameterized.TestCase):
    def test_interval_of_one_line_is_that_of_paired_examples(self):
        lines = [{"tasks": [counts(60, 40)]}]
        mean, (low, high) = statistics.paired_gap(lines)
        self.assertAlmostEqual(mean, 2.0)
        # 100 answers differ: a deviation of 10, one point of 1,000 examples.
        self.assertAlmostEqual(low, 2.0 - 1.96, delta=0.15)
        self.assertAlmostEqual(high, 2.0 + 1.96, delta=0.15)

    def test_what_both_have_right_does_not_count(self):
        lines = [{"tasks": [counts(0, 0)]}, {"tasks": [counts(0, 0)]}]
        self.assertEqual(statistics.paired_gap(lines), (0.0, (0.0, 0.0)))

    def test_lines_that_differ_widen_the_interval(self):
        alike = [{"tasks": [counts(30, 0)]} for _ in range(3)]
        differing = [{"tasks": [counts(n, 0)]} for n in (0, 30, 60)]
        _, (low, high) = statistics.paired_gap(alike)
        _, (lower, higher) = statistics.paired_gap(differing)
        self.assertLess(lower, low - 1.0)
        self.assertGreater(higher, high + 1.0)

    def test_tasks_count_alike_whatever_their_size(self):
        lines = [{"tasks": [counts(10, 0, n=100), counts(0, 0, n=10_000)]}]
        self.assertAlmostEqual(statistics.paired_gap(lines)[0], 5.0)

    def test_ratio_of_errors_that_are_alike(self):
        line = {"tasks": [squares(np.full(50, 1.1), np.ones(50))]}
        ratio, interval = statistics.error_ratio([line, line])
        np.testing.assert_allclose((ratio, *interval), 1.1, rtol=1e-6)

    def test_interval_of_a_ratio_is_that_of_paired_examples(self):
        dense, noise = np.random.default_rng(0).exponential(size=(2, 400))
        ours = dense + 0.1 * noise
        ratio, (low, high) = statistics.error_ratio(
            [{"tasks": [squares(ours, dense)]}]
        )
        rng = np.random.default_rng(1)
        rows = rng.integers(400, size=(2000, 400))
        expected = np.quantile(
            ours[rows].sum(axis=1) / dense[rows].sum(axis=1), (0.025, 0.975)
        )
        self.assertAlmostEqual(ratio, ours.sum() / dense.sum())
        np.testing.assert_allclose((low, high), expected, atol=0.003)

    @parameterized.parameters(
        (0.70, 100),  # Every point reaches it.
        (0.80, 100),
        (0.85, 150),
        (0.90, 200),
        (0.91, 300),  # (250, 0.88) and (450, 0.905) lie above the hull.
        (0.92, 400),
        (0.95, 450),  # None reaches it.
    )
    def test_bytes_for_accuracy(self, accuracy, expected):
        points = [(400, 0.92), (250, 0.88), (100, 0.8), (200, 0.9)]
        points += [(450, 0.905), (100, 0.7)]
        found = statistics.bytes_for_accuracy(points, accuracy)
        self.assertAlmostEqual(found, expected)

    def test_bytes_of_one_point(self):
        for accuracy in (0.5, 0.8, 0.9):
            found = statistics.bytes_for_accuracy([(7, 0.8)], accuracy)
            self.assertEqual(found, 7.0)


class ResultsTest(absltest.TestCase):
    def test_a_line_cut_off_is_not_a_result(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        path = folder / "new" / "defaults.jsonl"
        results.Results(path).add(make_line(seed=0))
        with path.open("a") as file:
            file.write('{"row": "wi')
        found = results.Results(path)
        self.assertIsNone(found.find(make_line(seed=1)))
        added = found.add(make_line(seed=1))
        self.assertIn("keras", added["versions"])
        found = results.Results(path)
        self.assertLen(found.lines, 2)
        self.assertEqual(found.find(make_line(seed=1)), added)

    def test_other_settings_are_another_job(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        found = results.Results(folder / "defaults.jsonl")
        found.add(make_line(settings={"epochs": 2}))
        self.assertIsNone(found.find(make_line(settings={"epochs": 3})))


class TableTest(absltest.TestCase):
    def test_without_lines(self):
        self.assertEqual(table.make_table([]), "There are no results yet.")

    def test_row_and_goals(self):
        lines = [make_line(seed=seed) for seed in range(3)]
        text = table.make_table(lines)
        self.assertIn("| wine | 3 | 90.00 | 89.00 | 1.00 (", text)
        self.assertIn("| 90.0% | 3.00 | 10.0% | 5.0 + 5.0 | 2.00 |", text)
        self.assertIn("- **not met**: mean gap of 1 classification", text)
        self.assertIn("- met: rows whose interval lies above 1.5", text)
        self.assertIn("5.0 in wine (at most 20)", text)

    def test_long_fits_are_judged_by_their_ratio(self):
        seconds = {"fit": 90.0, "consolidate": 60.0, "dense_fit": 60.0}
        text = table.make_table([make_line(seconds=seconds)])
        self.assertIn("median 2.50 (at most 2.2), worst 2.50", text)
        self.assertNotIn("seconds more for a task", text)

    def test_bytes_beside_fixed_settings(self):
        row = "mnist_3000_mlp"
        lines = [make_line(row, bytes=1200)]
        for number, variant in enumerate(training.GRID):
            task = {"n": 400, "ours": 0.85 + 0.005 * number}
            lines.append(
                make_line(
                    row, variant, tasks=[task], bytes=600 + 50 * number
                )
            )
        (found,) = table.needed_bytes(lines)
        self.assertEqual(found.points, 9)
        self.assertAlmostEqual(found.needed, 1000)
        text = table.make_table(lines)
        self.assertIn("| mnist_3000_mlp | 89.00 | 1,200 | 1,000 | 1.20", text)
        self.assertIn("- **not met**: mean ratio of 1 rows 1.20", text)


if __name__ == "__main__":
    absltest.main()
