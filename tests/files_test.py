"""Files and folders appear when they are complete, or not at all."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

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

    def test_a_folder_is_replaced_in_one_step(self):
        """Also where it has folders, and if the last step fails."""
        self.path.mkdir()
        (self.path / "part").mkdir()
        (self.path / "part" / "old").write_text("old")
        rename = pathlib.Path.rename

        def failing(path, target):
            if target == self.path and path.parent.name != "old":
                raise OSError("no")
            return rename(path, target)

        for rename_of in (failing, rename):
            with contextlib.ExitStack() as stack:
                if rename_of is failing:
                    stack.enter_context(self.assertRaises(OSError))
                stack.enter_context(
                    mock.patch.object(
                        pathlib.Path, "rename", rename_of, create=True
                    )
                )
                with complete_folder(self.path) as unfinished:
                    (unfinished / "part").mkdir(parents=True)
                    (unfinished / "part" / "new").write_text("new")
            found = sorted(os.listdir(self.path / "part"))
            self.assertEqual(
                found, ["old"] if rename_of is failing else ["new", "old"]
            )
            self.assertEqual(os.listdir(self.folder), ["made"])

    def test_a_missing_folder_is_named_as_it_was_given(self):
        for complete in (complete_file, complete_folder):
            with self.assertRaisesRegex(FileNotFoundError, "'absent/a.keras'"):
                with complete("absent/a.keras"):
                    pass


KILLED = """
import os, signal, sys
from tsn_keras.files import complete_file, complete_folder
complete = {"file": complete_file, "folder": complete_folder}[sys.argv[1]]
with complete(sys.argv[2]) as unfinished:
    if sys.argv[1] == "folder":
        unfinished.mkdir()
        unfinished = unfinished / "a"
    unfinished.write_text("half")
    if sys.argv[1] == "folder":
        # In the middle of the exchange.
        old = unfinished.parent.parent.parent / "old"
        os.rename(sys.argv[2], old / "made")
    os.kill(os.getpid(), signal.SIGKILL)
"""


class KilledTest(parameterized.TestCase):
    @parameterized.parameters("file", "folder")
    def test_leftovers_go_with_the_next_save(self, kind):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        folder = pathlib.Path(folder)
        path = folder / "made"
        others = [folder / ".made.other", folder / ".madeira.host-1-a"]
        for other in others:
            other.mkdir()
        path.mkdir() if kind == "folder" else path.write_text("first")
        if kind == "folder":
            (path / "a").write_text("first")
        run = subprocess.run([sys.executable, "-c", KILLED, kind, str(path)])
        self.assertEqual(run.returncode, -signal.SIGKILL)
        self.assertLen(os.listdir(folder), 4 if kind == "file" else 3)
        # Another target leaves them alone.
        with complete_file(folder / "beside") as unfinished:
            unfinished.write_text("")
        self.assertEqual(path.exists(), kind == "file")
        with self.assertRaises(KeyError):
            complete = complete_file if kind == "file" else complete_folder
            with complete(path):
                raise KeyError
        content = path if kind == "file" else path / "a"
        self.assertEqual(content.read_text(), "first")
        self.assertCountEqual(
            os.listdir(folder),
            ["made", "beside", *(other.name for other in others)],
        )

    @parameterized.parameters("old", "new", "lock", "n" * 220)
    def test_any_name(self, name):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder) / name
        for text in ("one", "two"):
            with complete_folder(path) as unfinished:
                unfinished.mkdir()
                (unfinished / text).write_text(text)
        self.assertCountEqual(os.listdir(path), ["one", "two"])
        self.assertEqual(os.listdir(folder), [name])

    def test_what_another_process_writes_stays(self):
        """Whatever its number; and its leftovers go once it has ended."""
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder) / "made"
        program = (
            "import sys\n"
            "from tsn_keras.files import complete_file\n"
            "with complete_file(sys.argv[1]) as unfinished:\n"
            "    unfinished.write_text('other')\n"
            "    print('writing', flush=True)\n"
            "    sys.stdin.readline()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other:
            self.assertEqual(other.stdout.readline(), "writing\n")
            with complete_file(path) as unfinished:
                unfinished.write_text("mine")
            self.assertLen(os.listdir(folder), 2)
            other.communicate("\n")
        self.assertEqual(other.returncode, 0)
        self.assertEqual(path.read_text(), "other")
        self.assertEqual(os.listdir(folder), ["made"])

    def test_what_is_being_written_stays(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(folder) / "made"
        with complete_file(path) as one:
            one.write_text("one")
            with complete_file(path) as other:
                other.write_text("other")
            self.assertEqual(path.read_text(), "other")
        self.assertEqual(path.read_text(), "one")


if __name__ == "__main__":
    absltest.main()
