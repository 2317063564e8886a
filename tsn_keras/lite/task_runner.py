"""Runs the tasks of a bundle."""

import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from tsn_keras.data import unknown_task
from tsn_keras.lite.bundles.metadata import read_bundle
from tsn_keras.lite.interpreter import (
    SignatureRunner,
    make_interpreter,
    single_or_all,
)

# What networks that nobody runs may take in memory. The one that was run last
# is always kept.
MOST_BYTES = 1 << 26


class TaskRunner:
    """Predicts with the tasks of a bundle.

    It calls the signature `select` of the bundle, and runs the file that comes
    out with ai-edge-litert. So predictions take no longer than those of an
    ordinary file.

    Any number of threads may use one runner, and their predictions run at the
    same time. What a thread (or an `asyncio` task) selects holds for itself
    alone. A thread that has selected nothing predicts as the task that was
    selected in the thread that made the runner.

    Args:
        path: str or path of a file from `tsn_keras.lite.export_bundle`.
        xnnpack: bool, whether XNNPACK may be used.

    Raises:
        ValueError: If the file is no bundle, truncated, or altered.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        num_threads: int | None = None,
        xnnpack: bool = True,
    ):
        content, self.metadata = read_bundle(path)
        self._interpreter = functools.partial(
            make_interpreter, xnnpack=xnnpack, num_threads=num_threads
        )
        interpreter = self._interpreter(content)
        self._decode = interpreter.get_signature_runner("select")
        # An interpreter is run by one thread at a time.
        self._decoding, self._lending = threading.Lock(), threading.Lock()
        # Task, bytes and runner of each network that nobody runs, oldest first.
        self._idle: list[tuple[str, int, SignatureRunner]] = []
        self._made_in = threading.current_thread()
        self._selected_there: str | None = None
        self._selected = contextvars.ContextVar("selected", default=None)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of their numbers."""
        return tuple(entry["name"] for entry in self.metadata["tasks"])

    @property
    def class_names(self) -> dict[str, list[str]]:
        """Names of the classes, of the tasks that have any."""
        named = {e["name"]: e["class_names"] for e in self.metadata["tasks"]}
        return {task: names for task, names in named.items() if names}

    @property
    def labels(self) -> list[str] | None:
        """Names of the classes of the selected task, if it has any."""
        return self._entry_of_selected()["class_names"]

    @property
    def inputs(self) -> list[dict]:
        """Name, shape and dtype of each input; `None` is any size."""
        return self.metadata["inputs"]

    @property
    def outputs(self) -> list[dict]:
        """Name, shape and dtype of each output.

        They are those of the selected task, where tasks have different ones.
        """
        common = self.metadata["outputs"]
        return common or self._entry_of_selected()["outputs"]

    @property
    def bank_sha256(self) -> str:
        """SHA-256 of the weight bank that the bundle was made from."""
        return self.metadata["bank_sha256"]

    @property
    def selected(self) -> str | None:
        """The task that `predict` means here."""
        here = self._selected.get()
        return self._selected_there if here is None else here

    def select(self, name: str) -> None:
        """Puts a task to work, in this thread.

        Raises:
            ValueError: If the bundle has no such task.
        """
        with self._network(name):
            # It is decoded now, and not by the first prediction.
            self._selected.set(name)
        if threading.current_thread() is self._made_in:
            self._selected_there = name

    def predict(self, x: Any, task: str | None = None) -> Any:
        """Predicts as a task.

        Args:
            x: array, or nest of arrays as the model takes it, batch first.
            task: The selected one by default.

        Returns:
            array, batch first; a dict of arrays if there are several outputs.

        Raises:
            ValueError: If no task is selected, the bundle has no such task, or
                `x` has another shape.
        """
        name = self._selected_task() if task is None else task
        with self._network(name) as network:
            return single_or_all(network.run(x))

    def _selected_task(self) -> str:
        name = self.selected
        if name is None:
            raise ValueError(
                "No task is selected. Call `select(name)` first, with one of "
                f"{list(self.tasks)}, in this thread or in the one that made "
                "the runner. Or give `predict` its `task`."
            )
        return name

    def _entry_of_selected(self) -> dict:
        """Returns what the metadata say of the selected task."""
        number = self.tasks.index(self._selected_task())
        return self.metadata["tasks"][number]

    @contextlib.contextmanager
    def _network(self, task: str) -> Iterator[SignatureRunner]:
        """Lends a task's network to this thread alone."""
        if task not in self.tasks:
            raise ValueError(
                f"{unknown_task(task, self.tasks, 'The bundle')} Select one of "
                "these, or export a bundle that has the task."
            )
        with self._lending:
            found = [entry for entry in self._idle if entry[0] == task][-1:]
            for entry in found:
                self._idle.remove(entry)
        entry = found[0] if found else self._decoded(task)
        try:
            yield entry[-1]
        finally:
            with self._lending:
                self._idle.append(entry)
                taken = sum(size for _, size, _ in self._idle)
                while taken > MOST_BYTES and len(self._idle) > 1:
                    taken -= self._idle.pop(0)[1]

    def _decoded(self, task: str) -> tuple[str, int, SignatureRunner]:
        number = np.array([self.tasks.index(task)], np.int32)
        with self._decoding:
            file = self._decode(task=number)["file"].tobytes()
        return task, len(file), SignatureRunner(self._interpreter(file))
