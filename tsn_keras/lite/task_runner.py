"""Runs the tasks of a bundle."""

import os
from typing import Any

import numpy as np
from keras import tree

from tsn_keras.lite.bundle_metadata import read_bundle
from tsn_keras.lite.interpreter import make_interpreter
from tsn_keras.lite.samples import Samples


class TaskRunner:
    """Predicts with the tasks of a bundle, one at a time.

    A thin layer over ai-edge-litert. It calls the signature `select` and
    leaves what comes out in the inputs of `compute`, so that no prediction
    copies weights. Other hosts may do that too, or call `predict`.

    Args:
        path: str or path of a file from `tsn_keras.lite.export_bundle`.
        num_threads: int or `None`.
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
        self._interpreter = make_interpreter(content, xnnpack, num_threads)
        # A runner must not live while the interpreter is invoked itself.
        compute = self._interpreter.get_signature_runner("compute")
        self._indices = {
            name: int(details["index"])
            for name, details in compute.get_input_details().items()
        }
        outputs = compute.get_output_details()
        self._outputs = [int(outputs[o["name"]]["index"]) for o in self.outputs]
        self._weights: dict[str, np.ndarray] = {}
        self._rows: int | None = None
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

        Args:
            name: str.

        Raises:
            ValueError: If the bundle has no such task.
        """
        if name not in self.tasks:
            raise ValueError(
                f"Unknown task '{name}'. The bundle holds: {list(self.tasks)}"
            )
        select = self._interpreter.get_signature_runner("select")
        number = np.array([self.tasks.index(name)], np.int32)
        self._weights = select(task=number)
        self._rows = None
        self.selected = name

    def predict(self, x: Any) -> np.ndarray:
        """Predicts as the selected task.

        Args:
            x: array, or nest of arrays as the model takes it, batch first.

        Returns:
            array, batch first; a dict of arrays if there are several outputs.

        Raises:
            ValueError: If no task is selected.
        """
        if self.selected is None:
            raise ValueError(
                "No task is selected. Call `select(name)` first, with one of "
                f"{list(self.tasks)}."
            )
        x = Samples([np.asarray(part) for part in tree.flatten(x)], None, "x")
        static = self.inputs[0]["shape"][0]
        parts = [
            self._run(batch) for batch in x.batches(static or max(len(x), 1))
        ]
        outputs = [np.concatenate(rows)[: len(x)] for rows in zip(*parts)]
        if len(outputs) == 1:
            return outputs[0]
        return {o["name"]: y for o, y in zip(self.outputs, outputs)}

    def _run(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        """Runs one batch. Weights stay in the inputs from call to call."""
        interpreter = self._interpreter
        places = [self._indices[part["name"]] for part in self.inputs]
        if len(batch[0]) != self._rows:
            for place, part in zip(places, batch):
                interpreter.resize_tensor_input(place, part.shape)
            interpreter.allocate_tensors()
            for name, weights in self._weights.items():
                interpreter.set_tensor(self._indices[name], weights)
            self._rows = len(batch[0])
        for place, part, entry in zip(places, batch, self.inputs):
            interpreter.set_tensor(place, part.astype(entry["dtype"]))
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._outputs]
