"""Files and folders appear when they are complete, or not at all."""

import os
import pathlib
import tempfile

from absl.testing import absltest

from tsn_keras.files import complete_file, complete_folder


class FilesTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)
        self.path = self.folder / "made"

    def test_a_file_appears_when_it_is_complete(self):
        with complete_file(self.path) as unfinished:
            unfinished.write_text("new")
            self.assertFalse(self.path.exists())
        self.assertEqual(self.path.read_text(), "new")
        self.assertEqual(os.listdir(self.folder), ["made"])

    def test_what_was_there_stays_if_writing_fails(self):
        self.path.write_text("earlier")
        for complete in (complete_file, complete_folder):
            with self.assertRaises(KeyboardInterrupt):
                with complete(self.path) as unfinished:
                    unfinished.write_text("half")
                    raise KeyboardInterrupt
            self.assertEqual(self.path.read_text(), "earlier")
            self.assertEqual(os.listdir(self.folder), ["made"])

    def test_a_link_stays_a_link(self):
        link = self.folder / "link"
        link.symlink_to(self.path)
        with complete_file(link) as unfinished:
            unfinished.write_text("new")
        self.assertTrue(link.is_symlink())
        self.assertEqual(self.path.read_text(), "new")

    def test_a_file_that_was_not_written(self):
        with self.assertRaises(FileNotFoundError):
            with complete_file(self.path):
                pass

    def test_a_folder_and_a_file_beside_it(self):
        for name in ("one", "two"):
            with complete_folder(self.path) as unfinished:
                unfinished.mkdir()
                (unfinished / name).write_text(name)
                (unfinished.parent / "beside").write_text(name)
                self.assertFalse((self.path / name).exists())
        self.assertCountEqual(os.listdir(self.folder), ["made", "beside"])
        self.assertCountEqual(os.listdir(self.path), ["one", "two"])
        self.assertEqual((self.folder / "beside").read_text(), "two")


if __name__ == "__main__":
    absltest.main()
