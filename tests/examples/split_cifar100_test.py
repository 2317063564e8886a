import json
import pathlib
import tempfile

from absl.testing import absltest

from tests.example_process import run_example

# Random images in the place of CIFAR-100, since tests download nothing, and a
# short trial of what to share.
PROGRAM = """
import functools
import tensorflow_datasets as tfds
import tsn_keras
from absl import app
from examples import split_cifar100

tsn_keras.sharing.ActivationSimilarity = functools.partial(
    tsn_keras.sharing.ActivationSimilarity, trial_steps=5
)
with tfds.testing.mock_data(num_examples=900):
    app.run(split_cifar100.main)
"""


class SplitCifar100Test(absltest.TestCase):
    def run_tasks(self, folder, *flags):
        return run_example(
            "-c",
            PROGRAM,
            f"--output_dir={folder}",
            "--num_tasks=2",
            "--epochs=1",
            "--dropout=0.1",
            "--channels=16,16,32,32,32,32",
            "--learning_rate=3e-3",
            "--settings=recipe",
            *flags,
        )

    def test_compares_and_resumes(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        networks = "--networks=dense,chosen,warm,joint"
        printed = self.run_tasks(folder, networks)
        for network in ("dense", "chosen", "warm", "joint"):
            self.assertRegex(printed, rf"\n{network} +average accuracy \d")
        self.assertNotIn("\nnever", printed)
        dense = json.loads((folder / "dense.json").read_text())
        self.assertLen(dense, 2)
        report = json.loads((folder / "chosen/report.json").read_text())
        self.assertTrue(report["bit_exact"])
        self.assertLess(report["capacity"]["fraction"], 0.1)
        kernels = 9 * (3 * 16 + 16 * 16 + 16 * 32 + 3 * 32 * 32)
        normalization, head = 4 * (2 * 16 + 4 * 32), 33 * 10
        self.assertEqual(
            report["capacity"]["dense_bytes"],
            4 * (kernels + normalization + head),
        )
        self.assertAlmostEqual(
            report["metrics"]["forward_transfer"],
            report["accuracy_matrix"][1][1] - dense[1],
            places=6,
        )
        planes = [task["plane"] for task in report["tasks"]]
        self.assertEqual(planes, [0, 1])
        warm = json.loads((folder / "warm/report.json").read_text())
        self.assertIn("where it started", warm["tasks"][1]["sharing"])
        # Those that share and those that start warm are resumed by one loop.
        networks = "--networks=dense,chosen,joint"
        again = self.run_tasks(folder, networks, "--resume")
        for start in ("chosen  av", "joint   av"):
            lines = [x for x in printed.splitlines() if x.startswith(start)]
            self.assertIn(lines[0], again)
        self.assertNotIn("Epoch", again)


if __name__ == "__main__":
    absltest.main()
