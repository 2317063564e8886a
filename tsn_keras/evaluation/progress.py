"""What a run prints: a row as each task ends, and how far a long step is."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from tsn_keras.tables import Column, aligned, shortened, text_width

# What takes less shows no progress.
PATIENCE_SECONDS = 5.0
# How often a line is written anew, and where it cannot be, how often another
# one is written.
REFRESH_SECONDS = 1.0
LOG_SECONDS = 30.0
LONGEST_NAME = 28


class RunProgress:
    """Prints what a run of many tasks does.

    Args:
        verbose: 0 prints nothing, 2 a row for each task, 1 also a line with
            the time left of each step that takes over five seconds. `"auto"` is
            1 in terminals and notebooks, else 2.
        names: Those of all tasks.
        metric: What the rows show.
    """

    def __init__(self, verbose: str | int, names: Sequence[str], metric: str):
        self._is_live = sys.stdout.isatty() or "ipykernel" in sys.modules
        if verbose == "auto":
            verbose = 1 if self._is_live else 2
        self._verbose = verbose
        self._names = list(names)
        form = ".2%" if "acc" in metric else ".4f"
        self._columns = (
            Column("task"),
            Column(metric, form),
            Column("average", form),
            Column("sparsity", ".1%"),
            Column("bits", ".1f"),
            Column("bank", ".1%"),
            Column("seconds", ",.0f"),
        )
        longest = max(map(text_width, [*map(_short, names), "task"]))
        self._widths = [longest]
        self._widths += [max(8, len(c.name)) for c in self._columns[1:]]
        self._has_header = False

    def end_task(self, *values: Any) -> None:
        """Prints the row of a task: a value for each column.

        They are the task's name, its quality, the average so far, sparsity,
        bits, the bank's part of a dense network, seconds.
        """
        if not self._has_header:
            self.say(self._line([column.name for column in self._columns]))
        self._has_header = True
        name, *others = values
        cells = [c.cell(v) for c, v in zip(self._columns[1:], others)]
        self.say(self._line([_short(name), *cells]))

    def say(self, text: str) -> None:
        """Prints a line, if anything is to be printed."""
        if self._verbose:
            print(text, flush=True)

    def _line(self, cells: list[str]) -> str:
        right = [index > 0 for index in range(len(cells))]
        return aligned(cells, self._widths, right)

    @contextlib.contextmanager
    def during(
        self, index: int, step: str, done: Callable[[], float | None]
    ) -> Iterator[None]:
        """Shows how far a step is, from its sixth second on.

        Args:
            index: Which task it belongs to.
            done: Returns the fraction that is done, or `None` if nobody knows.
        """
        if self._verbose != 1:
            yield
            return
        name, count = _short(self._names[index]), len(self._names)
        text = f"{name} ({index + 1} of {count}): {step}"
        line, ended = _Line(text, done, self._is_live), threading.Event()
        thread = threading.Thread(target=line.run, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Line:
    """A line of text that is written again and again, in its own thread."""

    def __init__(self, text: str, done: Callable, is_live: bool):
        self._text = text
        self._done = done
        self._is_live = is_live
        self._width = 0
        # When something was done for the first time, and how much.
        self._first: tuple[float, float] | None = None

    def run(self, ended: threading.Event) -> None:
        begun = time.monotonic()
        wait = PATIENCE_SECONDS
        while not ended.wait(wait):
            self._write(time.monotonic() - begun)
            wait = REFRESH_SECONDS if self._is_live else LOG_SECONDS
        if self._width:
            # The row that comes next takes its place.
            print(f"\r{' ' * self._width}\r", end="", flush=True)

    def _write(self, seconds: float) -> None:
        text = f"{self._text}, {_duration(seconds)}"
        part = self._done()
        if part is not None and 0.0 < part <= 1.0:
            left = _duration(self._seconds_left(seconds, part))
            text = f"{self._text} {part:.0%}, about {left} left"
        if not self._is_live:
            print(text, flush=True)
            return
        space = " " * max(0, self._width - text_width(text))
        print(f"\r{text}{space}", end="", flush=True)
        self._width = text_width(text)


    def _seconds_left(self, seconds: float, part: float) -> float:
        """What comes before the first step, such as a trace, counts once."""
        if self._first is None:
            self._first = seconds, part
        since, done = seconds - self._first[0], part - self._first[1]
        if done <= 0.0:
            since, done = seconds, part
        return (1.0 - part) * since / done


class StageWatch(keras.callbacks.Callback):
    """Notes how far a consolidation is."""

    def __init__(self):
        super().__init__()
        self.done: float | None = None

    def on_consolidate_stage(self, done: int, stages: int) -> None:
        self.done = done / stages


def _short(name: str) -> str:
    return shortened(name, LONGEST_NAME)


def _duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 100:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h"
