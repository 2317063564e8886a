import json
import pathlib
import tempfile

from absl.testing import absltest

import tsn_keras
from examples.demo_images import TASKS, make_demo
from tests.example_process import run_example


class OwnImagesTest(absltest.TestCase):
    def test_learns_a_folder_and_ships_it(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        images, output = folder / "images", folder / "output"
        make_demo(images, images_per_class=6)
        printed = run_example(
            "-m",
            "examples.own_images",
            f"--images={images}",
            f"--output_dir={output}",
            "--image_size=24",
            "--epochs=2",
        )
        self.assertIn("shapes: 2 classes", printed)
        self.assertIn("bit-exact: True", printed)
        report = json.loads((output / "report.json").read_text())
        names = [task["name"] for task in report["tasks"]]
        self.assertEqual(names, sorted(TASKS))
        runner = tsn_keras.lite.TaskRunner(output / "all_tasks.tflite")
        self.assertEqual(list(runner.tasks), names)
        self.assertEqual(list(output.glob("images")), [])

    def test_draws_images_if_none_are_given(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        make_demo(folder, images_per_class=4)
        with self.assertWarnsRegex(UserWarning, "left out: 2"):
            scenario = tsn_keras.scenarios.from_image_folders(folder)
        counts = {task.name: task.num_classes for task in scenario}
        expected = {name: len(kinds) for name, kinds in TASKS.items()}
        self.assertEqual(counts, expected)
        self.assertEqual(sorted(counts.values()), [2, 3, 5, 5])
        self.assertEqual(scenario.color_mode, "rgb")
