"""Predicts with files for microcontrollers, as firmware does."""

import os
from typing import Any

from tsn_keras.data import check_integers
from tsn_keras.lite.checks import read_file
from tsn_keras.lite.micro.arena import check_arena
from tsn_keras.lite.micro.interpreter import MicroInterpreter
from tsn_keras.lite.micro.tasks import read_tasks, takes_task
from tsn_keras.lite.microcontroller import check_microcontroller
from tsn_keras.lite.runner import Network


class MicroRunner:
    """Predicts by TFLite for Microcontrollers' interpreter, on this machine.

    It needs `tflite_micro`. Answers are those of firmware with the reference
    kernels, to the bit.

    Args:
        path: str or path of a file from `tsn_keras.lite.export_micro_bundle`,
            or of a task's int8 file.
        arena: int, bytes of memory that it runs in; enough by default.

    Raises:
        ImportError: If `tflite_micro` is not installed.
        ExportError: If microcontrollers cannot run the file, or not in that
            memory.

    Example:

    ```python
    runner = tsn_keras.lite.MicroRunner("tasks.tflite")
    scores = runner.predict(x, task="a")
    ```
    """

    def __init__(self, path: str | os.PathLike, arena: int | None = None):
        content = read_file(path)
        check_integers(lowest=1, or_none=True, arena=arena)
        check_microcontroller(content)
        if arena is not None:
            # Where memory is short, the interpreter itself may crash.
            check_arena(content, arena)
        has_choice = takes_task(content)
        self._tasks = read_tasks(content, os.path.basename(path))
        self._networks = [
            Network(
                MicroInterpreter(content, arena, number, task)
                if has_choice
                else MicroInterpreter(content, arena)
            )
            for number, task in enumerate(self._tasks)
        ]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of their numbers."""
        return tuple(task.name for task in self._tasks)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one example, of the first input."""
        details = next(iter(self._networks[0].inputs.values()))
        return tuple(map(int, details["shape_signature"][1:]))

    def labels(self, task: str | None = None) -> list[str] | None:
        """Returns the names of a task's classes, if they are known."""
        return self._tasks[self._number(task)].class_names

    def predict(self, x: Any, task: str | None = None) -> Any:
        """Predicts for any number of examples, one by one.

        Args:
            x: array of shape `(batch, ...)`, or nest of arrays.
            task: str, a name; needed where there are several tasks.

        Returns:
            float32 array of shape `(batch, ...)`; a dict of arrays by name if
            there are several outputs.
        """
        found = self._networks[self._number(task)].run(x)
        return found if len(found) > 1 else next(iter(found.values()))

    def _number(self, task: str | None) -> int:
        if task is None and len(self._tasks) == 1:
            return 0
        if task not in self.tasks:
            raise ValueError(
                f"`task` must be one of {list(self.tasks)}. Received: {task!r}"
            )
        return self.tasks.index(task)
