import contextlib
import io
import time

from absl.testing import absltest

from examples import progress as module
from examples.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class ProgressTest(absltest.TestCase):
    def shown(self, stream):
        """Returns what goes to standard error, and to standard output."""
        printed = io.StringIO()
        with (
            absltest.mock.patch.object(module, "EVERY", 0.02),
            contextlib.redirect_stderr(stream),
            contextlib.redirect_stdout(printed),
            progress(2) as bar,
        ):
            for name in ("first", "second"):
                bar.begin(name)
                time.sleep(0.2)
                bar.end(f"row of the {name}")
        return stream.getvalue(), printed.getvalue()

    def test_one_line_on_a_terminal(self):
        shown, printed = self.shown(Terminal())
        self.assertNotIn("\n", shown)
        self.assertRegex(shown, "first, 0 s so far")
        self.assertRegex(shown, "#+[.]+ second, about 1 s left")
        self.assertTrue(shown.endswith(module.ERASE))
        self.assertEqual(printed, "row of the first\nrow of the second\n")

    def test_nothing_elsewhere(self):
        shown, printed = self.shown(io.StringIO())
        self.assertEqual(shown, "")
        self.assertEqual(printed.count("\n"), 2)


if __name__ == "__main__":
    absltest.main()
