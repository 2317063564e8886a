"""Files that were damaged, and files that were made to do harm."""

import base64
import json
import pathlib
import tempfile
import time
import zipfile
import zlib

import numpy as np
from absl.testing import absltest, parameterized

from tests.lite import small_models
from tests.lite.runner_test import bare
from tests.odd_values import ODD, changed, places
from tsn_keras import lite
from tsn_keras.lite.bundles.metadata import sign

NAME = "task 1"
SCALE = {"mean": 1.0, "deviation": 2.0}
CODES = base64.b64encode(zlib.compress(bytes(range(20)))).decode()
MEANS = {"lowest": 0.0, "step": 0.1, "count": 20, "codes": CODES, **SCALE}
# What a bundle says of how a task is told from others.
INFERENCE = {
    "lowest": -2.0,
    "scores": [
        {"kind": "confidence", "outputs": {"outputs": "energy"}, **SCALE},
        {"kind": "input_means", **MEANS},
    ],
}


class HostileFileTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.folder = pathlib.Path(folder)
        cls.path = cls.folder / "file.tflite"
        model = small_models.make_model(tasks=2)
        cls.x = small_models.random_inputs(model, 3)
        lite.export_bundle(model, cls.path)
        cls.bundle = cls.path.read_bytes()
        cls.bare_bundle = bare(cls.path)
        lite.export_task(model, cls.path, "task 1")
        cls.task_file = cls.path.read_bytes()
        cls.bare_task_file = bare(cls.path)

    def use(self, content, task):
        """Returns what a file answers, `None` if it is refused."""
        self.path.write_bytes(content)
        start = time.monotonic()
        try:
            runner = lite.TaskRunner(self.path)
            if runner.metadata["tasks"][-1].get("inference"):
                runner.infer_task(self.x, tasks=[runner.tasks[-1]])
            return runner.predict(self.x, task=task)
        except ValueError:
            return None
        finally:
            self.assertLess(time.monotonic() - start, 2.0)

    @parameterized.parameters("bundle", "task_file")
    def test_a_byte_that_was_changed(self, kind):
        """It is noticed wherever it is."""
        content, task = getattr(self, kind), "task 1"
        expected = self.use(content, task)
        rng = np.random.default_rng(0)
        found = rng.integers(0, len(content), 200).tolist()
        # What stands at either end says what the file is.
        for place in (*range(4, 48), *range(-120, 0), *found):
            flipped = bytearray(content)
            flipped[place] ^= 1 << int(rng.integers(8))
            answer = self.use(bytes(flipped), task)
            if answer is not None:
                np.testing.assert_array_equal(answer, expected)
                self.fail(f"byte {place} of {len(content)} was not noticed")

    @parameterized.parameters("bundle", "task_file")
    def test_a_file_that_was_cut_off(self, kind):
        content = getattr(self, kind)
        rng = np.random.default_rng(0)
        ends = rng.integers(0, len(content), 100).tolist()
        for end in (*range(64), *range(-100, 0), *ends):
            self.assertIsNone(self.use(content[:end], "task 1"), end)

    @parameterized.parameters("bundle", "task_file")
    def test_a_file_that_grows_while_it_is_read(self, kind):
        """As an unfinished copy does."""
        content = getattr(self, kind)
        for more in (b"\0", b"x" * 1000, content):
            self.assertIsNone(self.use(content + more, "task 1"))

    def test_any_value_anywhere_in_a_bundle(self):
        self.path.write_bytes(self.bundle)
        metadata = dict(lite.TaskRunner(self.path).metadata)
        del metadata["file_sha256"]
        metadata["tasks"][1]["inference"] = INFERENCE
        self.assertIsNotNone(self.use(sign(self.bare_bundle, metadata), NAME))
        rng = np.random.default_rng(0)
        refused = 0
        for path in places(metadata):
            for value in rng.choice(np.array(ODD, object), 6, replace=False):
                text = changed(metadata, path, value)
                if not isinstance(text, dict):
                    continue
                try:
                    content = sign(self.bare_bundle, text)
                except ValueError:
                    continue
                refused += self.use(content, NAME) is None
        self.assertGreater(refused, 100)

    @parameterized.parameters(
        ("[1, 2]",),
        ('{"task": 3}',),
        ('{"task": "a", "class_names": "abc"}',),
        ('{"task": "a", "class_names": [1]}',),
        ("{",),
        ("[" * 1_500,),
    )
    def test_what_a_task_file_cannot_say(self, text):
        self.path.write_bytes(self.bare_task_file)
        with zipfile.ZipFile(self.path, "a") as archive:
            archive.writestr("task.json", text)
        with self.assertRaisesRegex(ValueError, "task.json"):
            lite.TaskRunner(self.path)

    def test_a_text_that_swells(self):
        self.path.write_bytes(self.bare_task_file)
        with zipfile.ZipFile(self.path, "a", zipfile.ZIP_DEFLATED) as archive:
            text = json.dumps({"task": "a", "filled": " " * 10**8})
            archive.writestr("task.json", text)
        # It is not read: the file's name is the task's.
        self.assertEqual(lite.TaskRunner(self.path).tasks, ("file",))


if __name__ == "__main__":
    absltest.main()
