"""Runs the tasks of a bundle."""

import os
from typing import Any

import numpy as np

from tsn_keras.lite.bundles.metadata import read_bundle
from tsn_keras.lite.interpreter import (
    SignatureRunner,
    make_interpreter,
    single_or_all,
)


class TaskRunner:
    """Predicts with the tasks of a bundle, one at a time.

    It calls the signature `select` of the bundle, and runs the file that comes
    out with ai-edge-litert. So predictions take no longer than those of an
    ordinary file.

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
        self._xnnpack, self._num_threads = xnnpack, num_threads
        interpreter = make_interpreter(content, xnnpack, num_threads)
        self._select = interpreter.get_signature_runner("select")
        self._network: SignatureRunner | None = None
        self.selected: str | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, in the order of their numbers."""
        return tuple(entry["name"] for entry in self.metadata["tasks"])

    @property
    def class_names(self) -> dict[str, list[str]]:
        """Names of the classes, of the tasks that have any."""
        entries = self.metadata["tasks"]
        return {e["name"]: e["classes"] for e in entries if "classes" in e}

    @property
    def inputs(self) -> list[dict]:
        """Name, shape and dtype of each input; `None` is any size."""
        return self.metadata["inputs"]

    @property
    def outputs(self) -> list[dict]:
        """Name, shape and dtype of each output."""
        return self.metadata["outputs"]

    @property
    def bank_sha256(self) -> str:
        """SHA-256 of the weight bank that the bundle was made from."""
        return self.metadata["bank_sha256"]

    def select(self, name: str) -> None:
        """Puts a task to work.

        Raises:
            ValueError: If the bundle has no such task.
        """
        if name not in self.tasks:
            raise ValueError(
                f"Unknown task '{name}'. The bundle holds: {list(self.tasks)}"
            )
        number = np.array([self.tasks.index(name)], np.int32)
        file = self._select(task=number)["file"]
        interpreter = make_interpreter(
            file.tobytes(), self._xnnpack, self._num_threads
        )
        self._network = SignatureRunner(interpreter)
        self.selected = name

    def predict(self, x: Any) -> Any:
        """Predicts as the selected task.

        Args:
            x: array, or nest of arrays as the model takes it, batch first.

        Returns:
            array, batch first; a dict of arrays if there are several outputs.

        Raises:
            ValueError: If no task is selected, or `x` has another shape.
        """
        if self._network is None:
            raise ValueError(
                "No task is selected. Call `select(name)` first, with one of "
                f"{list(self.tasks)}."
            )
        return single_or_all(self._network.run(x))
