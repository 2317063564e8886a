"""The memory that a file needs, measured in a process of its own."""

import os
import pathlib
import subprocess
import sys
import tempfile

from tsn_keras.lite.checks import ExportError
from tsn_keras.lite.micro.interpreter import PLENTY, check_tflite_micro

PROGRAM = pathlib.Path(__file__).with_name("arena_trials.py")
# Arenas are aligned to it.
STEP = 16
SMALLEST = 1 << 10
# The end of what the interpreter says, for errors.
TOLD = 500


class Trials:
    """Runs a file in one size of memory after another.

    Where memory is short, TFLite for Microcontrollers may crash. Then only the
    process of the trials ends, and the next trial gets another.
    """

    def __init__(self, content: bytes):
        check_tflite_micro()
        self._folder = tempfile.TemporaryDirectory()
        self._file = pathlib.Path(self._folder.name, "file.tflite")
        self._file.write_bytes(content)
        self._log = open(self._file.with_suffix(".log"), "w+")
        self._process = None

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_) -> None:
        self._end()
        self._log.close()
        self._folder.cleanup()

    def runs(self, arena: int) -> bool:
        """Tells whether the file runs in so many bytes."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, PROGRAM, self._file],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
            )
        try:
            self._process.stdin.write(f"{arena}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self._end()
        return answer.strip() == "1"

    def told(self) -> str:
        """Returns the end of what the interpreter said."""
        self._log.seek(0)
        return self._log.read()[-TOLD:]

    def _end(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None


def smallest_arena(content: bytes) -> int:
    """Returns the fewest bytes of memory that a file runs in.

    It is that of a machine of 64 bits, where pointers take twice the bytes of
    most microcontrollers.
    """
    with Trials(content) as trials:
        low, high = SMALLEST - STEP, SMALLEST
        while not trials.runs(high):
            low, high = high, 2 * high
            if high > PLENTY:
                raise ExportError(
                    "TFLite for Microcontrollers cannot run the file, however "
                    f"much memory it has: {trials.told()}"
                )
        while high - low > STEP:
            middle = (low + high) // 2 // STEP * STEP
            if trials.runs(middle):
                high = middle
            else:
                low = middle
    return high


def check_arena(content: bytes, arena: int) -> None:
    """Refuses memory that a file does not run in."""
    with Trials(content) as trials:
        if not trials.runs(arena):
            raise ExportError(
                f"The file does not run in {arena:,} bytes of memory: "
                f"{trials.told()}. Give a larger `arena`."
            )
