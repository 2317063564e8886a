"""Predicts and evaluates examples each as the task that is inferred."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data import num_rows, take_rows
from tsn_keras.inference import InferredTasks
from tsn_keras.tasks.checks import RESERVED
from tsn_keras.tasks.task_inference import infer_task


def or_inferred(inferred: Callable) -> Callable:
    """Lets a method of a model take `task="infer"`.

    Args:
        inferred: What is called then, with the other arguments.
    """

    def decorated(method: Callable) -> Callable:
        @functools.wraps(method)
        def chosen(self, *args, task=None, **kwargs):
            if isinstance(task, str) and task == RESERVED:
                return inferred(self, *args, **kwargs)
            return method(self, *args, task=task, **kwargs)

        return chosen

    return decorated


def predict_inferred(
    model: keras.Model, x: Any, return_tasks: bool = False, **kwargs: Any
) -> Any:
    """Predicts each example as its most likely task.

    Args:
        x: A nest of arrays.
        return_tasks: Whether the tasks are returned, too: `(y, tasks)`, with
            `None` for examples that fit none, which are predicted as the
            nearest one.
        **kwargs: As in `keras.Model.predict`.

    Returns:
        Outputs of one shape for all tasks, in the order of the examples.
    """
    x = _arrays("x", x)
    found, outputs = infer_task(model, x), None
    for name, rows in _groups(found):
        part = model.predict(take_rows(x, rows), task=name, **kwargs)
        if outputs is None:
            outputs = tree.map_structure(
                lambda array: np.zeros((num_rows(x), *array.shape[1:])), part
            )
            outputs = tree.map_structure(
                lambda whole, array: whole.astype(array.dtype), outputs, part
            )
        _check_shapes(outputs, part)
        for whole, array in zip(tree.flatten(outputs), tree.flatten(part)):
            whole[rows] = array
    return (outputs, found.tasks) if return_tasks else outputs


def evaluate_inferred(
    model: keras.Model,
    x: Any,
    y: Any,
    return_dict: bool = False,
    **kwargs: Any,
) -> Any:
    """Evaluates each example as its most likely task.

    Losses and metrics are means over the examples of what each task has for
    its own. The labels are compared with that task's answer, right or wrong.

    Args:
        x: A nest of arrays.
        y: Likewise.
        return_dict: As in `keras.Model.evaluate`, as is all else.
    """
    x, y = _arrays("x", x), _arrays("y", y)
    sums: dict[str, float] = {}
    for name, rows in _groups(infer_task(model, x)):
        parts = take_rows(x, rows), take_rows(y, rows)
        results = model.evaluate(
            *parts, task=name, return_dict=True, **kwargs
        )
        for metric, value in results.items():
            part = value * len(rows) / num_rows(x)
            sums[metric] = sums.get(metric, 0.0) + part
    if return_dict:
        return sums
    # As Keras puts them.
    values = [sums.pop("loss")] if "loss" in sums else []
    values += sums.values()
    return values if len(values) > 1 else values[0]


def _arrays(name: str, value: Any) -> Any:
    """Returns arrays, whose rows can be put together by task."""
    if isinstance(value, (tf.data.Dataset, keras.utils.PyDataset)):
        raise TypeError(
            f"`{name}` must be an array, or a nest of arrays, with "
            f"task='{RESERVED}'. Received: {type(value).__name__}"
        )
    return tree.map_structure(np.asarray, value)


def _groups(found: InferredTasks) -> list[tuple[str, np.ndarray]]:
    return [
        (name, rows)
        for name in found.names
        if (rows := np.flatnonzero(found.nearest == name)).size
    ]


def _check_shapes(outputs: Any, part: Any) -> None:
    shapes = [
        tree.map_structure(lambda array: array.shape[1:], nest)
        for nest in (outputs, part)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "The tasks of these examples put out different shapes: "
            f"{shapes[0]} and {shapes[1]}. Call `infer_task`, and `predict` "
            "for each task."
        )
