"""What tests of files have in common."""

import pathlib
import tempfile

from absl.testing import parameterized


class LiteTestCase(parameterized.TestCase):
    """Has a folder of its own, `self.folder`, and `self.path` in it."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "task.tflite"
