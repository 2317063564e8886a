"""A consolidated task to serve: read in any thread, changed in none."""

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.tasks import checks
from tsn_keras.tasks.call_arguments import check_data, explained
from tsn_keras.tasks.report import TaskReport


class TaskView:
    """One consolidated task of a model, to evaluate, predict and export.

    `ContinualModel.task` returns it. It computes with values of its own, which
    nothing changes, so that any number of threads can use it, also while the
    model learns another task. What several views of one task hold is in memory
    once.

    Args:
        model: `ContinualModel`.
        name: A consolidated task.

    Raises:
        ValueError: If there is no such task, or it is not consolidated.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(16, activation="relu")]
    ... )
    >>> model = tsn_keras.ContinualModel(backbone, pruning=None)
    >>> model.compile("adam", "mse")
    >>> model.add_task("a", head=keras.layers.Dense(1))
    >>> x, y = np.ones((32, 8)), np.ones((32, 1))
    >>> _ = model.fit(x, y, verbose=0)
    >>> _ = model.consolidate((x, y), verbose=0)
    >>> a = model.task("a")
    >>> a.predict(x, verbose=0).shape, a(x).shape
    ((32, 1), TensorShape([32, 1]))
    """

    def __init__(self, model: keras.Model, name: str):
        name = checks.consolidated_task(model, name)
        self._model = model
        self._name = name
        self._record = model.bank[name]
        self._view = model.switch.view(name)

    @property
    def name(self) -> str:
        """The task's name."""
        return self._name

    @property
    def class_names(self) -> list[str] | None:
        """Names of the head's outputs, `None` if `add_task` got none."""
        return self._record.class_names

    @property
    def report(self) -> TaskReport:
        """The report of its consolidation."""
        self._check_bank()
        return self._model.report(self._name)

    @property
    def variables(self) -> dict[str, np.ndarray]:
        """The values that the task computes with, by the variable's path.

        Kernels first, as they are effective: zero where the mask is. The arrays
        cannot be written to.
        """
        return {
            variable.path: _read_only(value)
            for variable, value in zip(self._view.variables, self._view.values)
        }

    def __call__(self, inputs: Any) -> Any:
        """Returns what the task computes for one batch, as tensors."""
        arguments = {"x": inputs}
        check_data(self._model, arguments)
        with (
            self._model.switch.answering(self._name, self._view),
            explained(self._model, arguments),
        ):
            batch = tree.map_structure(tf.convert_to_tensor, inputs)
            return self._model.compiled_heads.call_function()(batch)

    def predict(self, *args, **kwargs) -> Any:
        """Predicts; see `keras.Model.predict`."""
        self._check_task(kwargs)
        with self._model.switch.answering(self._name, self._view):
            return self._model.predict(*args, task=self._name, **kwargs)

    def evaluate(self, *args, **kwargs) -> Any:
        """Evaluates with the task's loss and metrics; see `keras.Model`."""
        self._check_task(kwargs)
        self._check_bank()
        with self._model.switch.answering(self._name, self._view):
            return self._model.evaluate(*args, task=self._name, **kwargs)

    def export(
        self, filepath: str | os.PathLike, format: str = "litert", **kwargs: Any
    ) -> Any:
        """Exports the task; see `ContinualModel.export`."""
        self._check_task(kwargs)
        self._check_bank()
        return self._model.export(
            filepath, format=format, task=self._name, **kwargs
        )

    def _check_task(self, arguments: dict[str, Any]) -> None:
        if "task" in arguments:
            raise TypeError(
                f"This view is of task '{self._name}' alone. Received: "
                f"task={arguments['task']!r}. Take `model.task(name)` of "
                "another task."
            )

    def _check_bank(self) -> None:
        """Refuses what would be told of another task of the same name."""
        bank = self._model.bank
        if self._name not in bank or not self._record.is_same(bank[self._name]):
            raise ValueError(
                "The model has loaded another bank, or removed the task, "
                f"since this view of task '{self._name}' was made. The view "
                "can still predict. Take `model.task(name)` of a task that "
                f"the model has: {list(bank.tasks)}"
            )

    def __repr__(self) -> str:
        return f"<TaskView '{self._name}' of '{self._model.name}'>"


def _read_only(value: Any) -> np.ndarray:
    array = np.array(value)
    array.setflags(write=False)
    return array
