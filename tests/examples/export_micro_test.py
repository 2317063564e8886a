import json
import pathlib
import tempfile

from absl.testing import absltest

from tests.example_process import run_example
from tests.lite.micro.micro_test_case import needs_tflite_micro


class ExportMicroTest(absltest.TestCase):
    @needs_tflite_micro
    def test_table_of_forms(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        printed = run_example(
            "-m",
            "examples.export_micro",
            "--epochs=1",
            f"--output_dir={folder}",
            f"--results={folder / 'results.jsonl'}",
        )
        self.assertIn("smallest_main.cc", printed)
        lines = (folder / "results.jsonl").read_text().splitlines()
        rows = {row["form"]: row for row in map(json.loads, lines)}
        self.assertLen(rows, 5)
        sizes = {form: row["flash_bytes"] for form, row in rows.items()}
        self.assertLess(sizes["bitmap"], sizes["plain"])
        self.assertEqual(
            sizes["smallest"], min(sizes["smallest"], *list(sizes.values())[:3])
        )
        self.assertLess(sizes["one task"], sizes["smallest"])
        self.assertEqual(rows["smallest"]["tasks"], 2)


if __name__ == "__main__":
    absltest.main()
