"""Keeps what TensorFlow and LiteRT log off the terminal, for errors.

Their C++ code writes to the standard error of the process, past Python. So
that is replaced for a while, for all threads. What others write there in the
meantime comes out when it is over.
"""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator

STDERR = 2
# Lines that are written when all goes well.
LOGS = re.compile(
    r"[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:[\d.]+: [IWE] |"
    r"WARNING: All log messages before absl|INFO: |"
    r"To enable the following instructions: |fully_quantize: \d"
)
# Those of them that say nothing about an error, either.
IDLE = re.compile(r"I\d{4} |\S+ \S+ I |INFO: |To enable|WARNING: All log")
MOST_LINES = 20


class _StandardError:
    """The standard error of the process, in a file while anybody wants it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._users = 0
        # Made once: that takes longer than all else.
        self._file = None
        # First and last place of what belongs to errors.
        self._told: list[tuple[int, int]] = []

    def begin(self) -> int:
        """Returns the place where all that is written next begins."""
        with self._lock:
            if not self._users:
                if self._file is None:
                    self._file = tempfile.TemporaryFile()
                self._terminal = os.dup(STDERR)
                os.dup2(self._file.fileno(), STDERR)
            self._users += 1
            return self._size()

    def end(self, start: int, failed: bool) -> str:
        """Returns what was written since; it does not come out if it failed."""
        with self._lock:
            self._users -= 1
            if not self._users:
                os.dup2(self._terminal, STDERR)
            size = self._size()
            if failed:
                self._told.append((start, size))
            text = self._read(start, size)
            if not self._users:
                os.write(self._terminal, self._of_others(size).encode())
                os.close(self._terminal)
                self._told.clear()
                os.lseek(self._file.fileno(), 0, os.SEEK_SET)
                os.truncate(self._file.fileno(), 0)
            return text

    def _of_others(self, size: int) -> str:
        starts = [0, *(end for _, end in self._told)]
        ends = [*(start for start, _ in self._told), size]
        text = "".join(map(self._read, starts, ends))
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if not LOGS.match(line))

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _read(self, start: int, end: int) -> str:
        # At a place, so that it does not matter where others write.
        content = os.pread(self._file.fileno(), max(0, end - start), start)
        return content.decode(errors="replace")


_standard_error = _StandardError()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Catches what is logged; an error that is raised gets it as a note.

    >>> with quiet():
    ...     _ = os.write(2, b"INFO: Created a delegate.")
    """
    try:
        os.fstat(STDERR)
    except OSError:
        # The process has none.
        yield
        return
    start = _standard_error.begin()
    try:
        yield
    except BaseException as error:
        text = _standard_error.end(start, failed=True)
        lines = [one for one in text.splitlines() if not IDLE.match(one)]
        if lines:
            error.add_note("\n".join(["Logged before:", *lines[-MOST_LINES:]]))
        raise
    _standard_error.end(start, failed=False)
