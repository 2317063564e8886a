"""What was found of inputs: their tasks, and where a stream changes."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class InferredTasks:
    """What `infer_task` found, for each example.

    Args:
        tasks: Array of names, the most likely task of each example; `None`
            where none fits: less than all but 5 % of that task's own
            validation data.
        nearest: The same, with the most likely task also where none fits.
        names: Of the tasks that were looked at, in order.
        likelihood: float array, a row for each example and a column for each
            name. Each row sums to 1.
        unlikeness: float array, how many deviations an example is below the
            mean of the validation data of its nearest task.
    """

    tasks: np.ndarray
    nearest: np.ndarray
    names: tuple[str, ...]
    likelihood: np.ndarray
    unlikeness: np.ndarray

    def __len__(self) -> int:
        return len(self.tasks)


def detect_task_change(
    model: keras.Model,
    batches: Iterable[Any],
    tasks: Sequence[str] | None = None,
) -> Iterator[tuple[int, str | None]]:
    """Yields where a stream goes over to another task.

    Args:
        model: `ContinualModel` with `inference`.
        batches: Inputs, each batch of one task.
        tasks: Names to choose from; by default all.

    Yields:
        The number of the batch and its task, for the first batch and for each
        whose task is not that of the batch before; `None` is a task that the
        model does not know.

    Example:

    ```python
    for number, task in tsn_keras.inference.detect_task_change(model, stream):
        print(number, task or "something new")
    ```
    """
    if not hasattr(model, "infer_task"):
        raise TypeError(
            f"`model` must be a ContinualModel. Received: {model!r}"
        )
    before = ()
    for number, x in enumerate(batches):
        task = model.infer_task(x, tasks, "together").tasks[0]
        if task != before:
            yield number, task
        before = task
