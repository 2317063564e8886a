import json
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest

from tests.example_process import ROOT, run_example
from tsn_keras import lite


class QuickstartTest(absltest.TestCase):
    def test_help_prints_help_only(self):
        shown = subprocess.run(
            [sys.executable, "-m", "examples.quickstart", "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        self.assertEqual(shown.stderr, "")
        self.assertStartsWith(shown.stdout, "Learns six tasks")
        self.assertIn("--output_dir", shown.stdout)

    def test_learns_ships_and_reports(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        printed = run_example(
            "-m",
            "examples.quickstart",
            f"--output_dir={folder}",
            with_errors=True,
        )
        self.assertIn("bit-exact after save and load: True", printed)
        lines = printed.splitlines()
        self.assertLessEqual(len(lines), 25, printed)
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertNotRegex(printed, "[Ww]arning|0000 |delegate")
        report = json.loads((folder / "report.json").read_text())
        self.assertTrue(report["bit_exact"])
        self.assertEqual(report["metrics"]["backward_transfer"], 0.0)
        self.assertGreater(report["metrics"]["average_accuracy"], 0.9)
        # Rotated digits are similar, permuted ones are not.
        planes = [task["plane"] for task in report["tasks"]]
        self.assertEqual(planes, [0, 0, 0, 1, 2, 3])
        bundle = folder / "all_tasks.tflite"
        self.assertLen(lite.TaskRunner(bundle).tasks, 6)
        dense = report["files"][0]["dense_bytes"]
        self.assertLess(bundle.stat().st_size, 0.6 * dense)
        for file, task in zip(report["files"], report["tasks"]):
            used = [*task["own"].values(), *task["shared"].values()]
            kept = sum(used) / (64 * 128 + 128 * 128)
            self.assertLess(file["bytes"], 1.4 * kept * dense + 8000)
            self.assertTrue(file["predictions_equal"])
            self.assertLess(file["largest_difference"], 1e-4)
            self.assertEqual(
                (folder / file["file"]).stat().st_size, file["bytes"]
            )
        self.tells_tasks_apart(folder)

    def tells_tasks_apart(self, folder):
        results = folder / "which_task.jsonl"
        printed = run_example(
            "-m",
            "examples.which_task",
            "--scenario=quickstart",
            f"--model={folder / 'model.keras'}",
            "--kind=confidence",
            f"--results={results}",
        )
        self.assertIn("| confidence |", printed)
        found = json.loads(results.read_text())
        # Three of six are nearly alike.
        self.assertGreater(found["single"], 0.4)
        self.assertGreater(found["class"], 0.7)
        for row in found["confusion"]:
            self.assertAlmostEqual(sum(row), 1.0, places=2)
