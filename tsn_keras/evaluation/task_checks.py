"""What the tasks of a run must be, said before the first one is learned."""

from collections.abc import Iterator, Sequence
from typing import Any

from tsn_keras.data import TrainingData, check_shapes, shown
from tsn_keras.names import normal_form

PARTS = ("train", "validation", "test")
WANTED = (
    "A task is any object with the attributes `name`, `train`, `validation` "
    "and `test`; `tsn_keras.scenarios.from_datasets` makes tasks from arrays "
    "and data sets."
)


def check_run_tasks(model: Any, tasks: Sequence) -> None:
    """Refuses tasks that lack something, or that the network cannot take."""
    for number, task in enumerate(tasks):
        missing = [
            name
            for name in ("name", *PARTS)
            if getattr(task, name, None) is None
        ]
        if missing:
            raise TypeError(
                f"Task {number} of `tasks` has no `{'`, `'.join(missing)}`. "
                f"{WANTED} Received: {shown(task)}"
            )
        if isinstance(task.name, str) and normal_form(task.name) != task.name:
            raise ValueError(
                f"The name of task {number} of `tasks` is not in Unicode's "
                "normal form C, in which models keep names. Give it as "
                "`unicodedata.normalize('NFC', name)`. Received: "
                f"{ascii(task.name)}"
            )
        for part in PARTS:
            _check_batches(task.name, part, getattr(task, part))
        _check_inputs(model, task)


def _check_batches(name: str, part: str, data: Any) -> None:
    if isinstance(data, (tuple, list, dict)) or hasattr(data, "shape"):
        raise TypeError(
            f"`{part}` of task '{name}' must give batches (x, y), as a "
            "`tf.data.Dataset` or `keras.utils.PyDataset` does. Received: "
            f"{shown(data)}. Arrays become such by "
            "`tsn_keras.scenarios.from_datasets({name: (train, validation, "
            "test)})`."
        )


def _check_inputs(model: Any, task: Any) -> None:
    """Refuses inputs of another shape than the backbone declares."""
    switch = getattr(model, "switch", None)
    is_known = switch is not None and switch.is_built and switch.is_declared
    # What can be read only once is left to `fit`.
    if not is_known or isinstance(task.validation, Iterator):
        return
    for batch in TrainingData(task.validation).elements():
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        try:
            check_shapes(x, switch.inputs)
        except ValueError as error:
            raise ValueError(f"Task '{task.name}': {error}") from error
        return
