import json
import pathlib
import tempfile

from absl.testing import absltest

from tests.examples.example_process import run_example


class QuickstartTest(absltest.TestCase):
    def test_learns_ships_and_reports(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        printed = run_example(
            "-m", "examples.quickstart", "--epochs=6", f"--output_dir={folder}"
        )
        self.assertIn("bit-exact after save and load: True", printed)
        report = json.loads((folder / "report.json").read_text())
        self.assertTrue(report["bit_exact"])
        self.assertEqual(report["metrics"]["backward_transfer"], 0.0)
        self.assertGreater(report["metrics"]["average_accuracy"], 0.9)
        # Rotated digits are similar, permuted ones are not.
        planes = [task["plane"] for task in report["tasks"]]
        self.assertEqual(planes, [0, 0, 0, 1, 2, 3])
        for file in report["files"]:
            self.assertTrue(file["predictions_equal"])
            self.assertLess(file["largest_difference"], 1e-4)
            self.assertEqual(
                (folder / file["file"]).stat().st_size, file["bytes"]
            )
