import json
import pathlib
import tempfile

from absl.testing import absltest

from tests.example_process import run_example
from tests.lite import small_models


class ExportTfliteTest(absltest.TestCase):
    def test_table_of_files(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        small_models.make_model(tasks=2).save(folder / "model.keras")
        printed = run_example(
            "-m",
            "examples.export_tflite",
            f"--model={folder / 'model.keras'}",
            "--task=task 0,task 1",
            "--precision=float32,dynamic_int8",
            "--compression=auto,none",
            "--bundle",
            "--repetitions=3",
            f"--output_dir={folder / 'files'}",
        )
        self.assertRegex(printed, "select: .* ms per million weights")
        rows = json.loads((folder / "files" / "export.json").read_text())
        self.assertLen(rows, 1 + 2 * 4 + 1)
        for row in rows:
            size = pathlib.Path(row["path"]).stat().st_size
            self.assertEqual(row["bytes"], size)
            self.assertIn(pathlib.Path(row["path"]).name, printed)
            self.assertGreater(row["latency_ms"], 0)


if __name__ == "__main__":
    absltest.main()
