import json
import pathlib
import tempfile

import keras
import numpy as np
from absl import flags
from absl.testing import flagsaver, parameterized

from examples import quickstart


class QuickstartTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        if not flags.FLAGS.is_parsed():
            flags.FLAGS(["quickstart"])

    def test_learns_ships_and_reports(self):
        folder = pathlib.Path(
            self.enterContext(tempfile.TemporaryDirectory())
        )
        with flagsaver.flagsaver(output_dir=str(folder), epochs=6):
            quickstart.main([])
        report = json.loads((folder / "report.json").read_text())
        self.assertTrue(report["bit_exact"])
        self.assertEqual(report["metrics"]["backward_transfer"], 0.0)
        self.assertGreater(report["metrics"]["average_accuracy"], 0.9)
        planes = [task["plane"] for task in report["tasks"]]
        self.assertLen(set(planes[3:]), 3)
        for file in report["files"]:
            self.assertTrue(file["predictions_equal"])
            self.assertLess(file["largest_difference"], 1e-4)
            self.assertTrue((folder / file["file"]).exists())

    def test_tasks_are_of_two_kinds(self):
        tasks = quickstart.make_tasks(seed=0)
        self.assertLen(tasks, 6)
        first = [next(iter(task.test))[0].numpy() for task in tasks]
        kept = np.sort(first[0], axis=1)
        for permuted in first[3:]:
            np.testing.assert_array_equal(np.sort(permuted, axis=1), kept)
        self.assertTrue(keras.ops.all(first[1] >= 0.0))
