import json
import pathlib
import tempfile

from absl.testing import absltest

from tests.example_process import run_example

# Random images in the place of MNIST, since tests download nothing.
PROGRAM = """
import tensorflow_datasets as tfds
from absl import app
from examples import permuted_mnist

with tfds.testing.mock_data(num_examples=200):
    app.run(permuted_mnist.main)
"""


class PermutedMnistTest(absltest.TestCase):
    def run_tasks(self, folder, *flags):
        run_example(
            "-c",
            PROGRAM,
            f"--output_dir={folder}",
            "--num_tasks=2",
            "--epochs=1",
            "--settings=recipe",
            *flags,
        )
        return json.loads((folder / "report.json").read_text())

    def test_reports_and_resumes(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        report = self.run_tasks(folder)
        self.assertTrue(report["bit_exact"])
        self.assertEqual(report["metrics"]["backward_transfer"], 0.0)
        sparsity = report["tasks"][0]["sparsity"]
        first, second = (sparsity[path] for path in sorted(sparsity))
        self.assertAlmostEqual(first, 0.957, places=4)
        self.assertAlmostEqual(second, 0.886, places=4)
        resumed = self.run_tasks(folder, "--resume")
        self.assertEqual(
            resumed["accuracy_matrix"], report["accuracy_matrix"]
        )
        self.assertTrue(resumed["bit_exact"])
