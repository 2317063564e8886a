import contextlib
import io
import re
import time
from unittest import mock

from absl.testing import parameterized

from tsn_keras.evaluation import progress
from tsn_keras.evaluation.progress import RunProgress

ROW = ("a", 0.5, 0.75, 0.9, 2.5, 0.125, 12.3)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(run, verbose, stream=io.StringIO, names=("a", "b")):
    with contextlib.redirect_stdout(stream()) as output:
        run(RunProgress(verbose, names, "accuracy"))
    return output.getvalue()


class RunProgressTest(parameterized.TestCase):
    @parameterized.parameters(1, 2, "auto")
    def test_rows(self, verbose):
        def run(shown):
            shown.end_task(*ROW)
            shown.end_task("b", *ROW[1:])

        header, first, second = printed(run, verbose).splitlines()
        self.assertRegex(header, "^task +accuracy +average +sparsity +bits")
        self.assertRegex(first, "^a +50.00% +75.00% +90.0% +2.5 +12.5% +12$")
        self.assertLen({len(header), len(first), len(second)}, 1)

    @parameterized.parameters(0, None)
    def test_nothing(self, verbose):
        def run(shown):
            shown.end_task(*ROW)
            shown.say("text")
            with shown.during(0, "training", lambda: 0.5):
                pass

        self.assertEqual(printed(run, verbose), "")

    @parameterized.parameters(
        (1, Terminal, True),
        ("auto", Terminal, True),
        ("auto", io.StringIO, False),
        (1, io.StringIO, True),
        (2, Terminal, False),
    )
    def test_what_takes_long(self, verbose, stream, expected):
        def run(shown):
            with shown.during(1, "training", lambda: 0.25):
                time.sleep(0.3)

        with (
            mock.patch.object(progress, "PATIENCE_SECONDS", 0.05),
            mock.patch.object(progress, "REFRESH_SECONDS", 0.05),
            mock.patch.object(progress, "LOG_SECONDS", 0.05),
        ):
            text = printed(run, verbose, stream)
        said = re.search(r"b \(2 of 2\): training 25%, about 0 s left", text)
        self.assertEqual(bool(said), expected)
        if expected and stream is Terminal:
            # The line is gone, and the next one takes its place.
            self.assertRegex(text, r"\r +\r$")

    def test_what_is_short_says_nothing(self):
        def run(shown):
            with shown.during(0, "training", lambda: 0.5):
                time.sleep(0.01)

        self.assertEqual(printed(run, 1, Terminal), "")

    def test_an_error_ends_the_line(self):
        def run(shown):
            with self.assertRaisesRegex(ValueError, "bad"):
                with shown.during(0, "training", lambda: None):
                    raise ValueError("bad")

        self.assertEqual(printed(run, 1, Terminal), "")

    def test_names_stay_in_their_column(self):
        names = ["x" * 100, "two\nlines", "a"]

        def run(shown):
            for name in names:
                shown.end_task(name, *ROW[1:])

        lines = printed(run, 2, names=names).splitlines()
        self.assertLen(lines, 4)
        self.assertLen(set(map(len, lines)), 1)
        self.assertLess(len(lines[0]), 90)
