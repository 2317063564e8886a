"""A line on the terminal that says how long a run will still take."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

WIDTH = 24
# Seconds between two looks at the clock.
EVERY = 0.5
ERASE = "\r\033[K"


class Progress:
    """Shows how many steps of about equal length are done.

    Nothing is shown unless standard error is a terminal, which has it on one
    line. Other output goes through `print`.

    Args:
        steps: int, how many there are.
    """

    def __init__(self, steps: int):
        self._steps, self._done = steps, 0
        self._name = ""
        self._begun = self._step_begun = time.perf_counter()
        self._lock, self._over = threading.Lock(), threading.Event()
        self._shown = sys.stderr.isatty()

    def begin(self, name: str) -> None:
        """Says what the step is that begins."""
        self._name, self._step_begun = name, time.perf_counter()

    def end(self, line: str | None = None) -> None:
        """Ends a step, and prints a line about it."""
        self._done += 1
        with self._lock:
            self._write(ERASE)
            if line is not None:
                print(line, flush=True)

    def keep_showing(self) -> None:
        """Shows the line until all is over."""
        while self._shown and not self._over.wait(EVERY):
            with self._lock:
                self._write(ERASE + self._line())

    def stop(self) -> None:
        self._over.set()
        with self._lock:
            self._write(ERASE)

    def _write(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(text)
            sys.stderr.flush()

    def _line(self) -> str:
        if not self._done:
            spent = time.perf_counter() - self._begun
            return f"{'.' * WIDTH} {self._name}, {spent:.0f} s so far"
        # A step under way counts as what it would be if all took as long.
        usual = (self._step_begun - self._begun) / self._done
        under_way = time.perf_counter() - self._step_begun
        part = min(0.95, under_way / usual)
        done = (self._done + part) / self._steps
        left = max(1.0, usual * (self._steps - self._done - part))
        bar = f"{'#' * int(WIDTH * done):.<{WIDTH}}"
        return f"{bar} {self._name}, about {left:.0f} s left"


@contextlib.contextmanager
def progress(steps: int) -> Iterator[Progress]:
    """Yields a `Progress`, which is shown in the context."""
    found = Progress(steps)
    thread = threading.Thread(target=found.keep_showing, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()
