"""How strong a method is to hold on to what it knows."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tsn_keras.data import check_integers, check_numbers, shown


def choose_strength(
    make: Callable[[Any], Any],
    tasks: Sequence,
    strengths: Sequence,
    epochs: int = 1,
    num_tasks: int = 3,
    tolerance: float = 0.0,
) -> tuple[Any, dict[Any, float]]:
    """Finds the strength of a method by the validation data of the first tasks.

    For each strength a fresh method learns the first tasks. Then all of them
    are validated. No test data are read.

    Args:
        make: Returns a method, compiled with the metric `accuracy`, for a
            strength.
        tasks: As for `ScenarioRun`.
        strengths: What to try, in the order that one would like them.
        epochs: Epochs a task.
        num_tasks: How many tasks are learned.
        tolerance: The first strength is chosen that is no more than this worse
            than the best, such as the smallest memory.

    Returns:
        The strength, and the mean validated accuracy of each.

    Example:

    ```python
    def make(strength):
        method = tsn_keras.baselines.EWC(make_backbone(), strength, seed=0)
        method.compile("adam", metrics=["accuracy"])
        return method

    strength, accuracies = choose_strength(make, scenario, [1, 10, 100])
    ```
    """
    check_integers(epochs=epochs, num_tasks=num_tasks)
    check_numbers(tolerance=tolerance)
    if not callable(make):
        raise TypeError(
            "`make` must be a function of a strength that returns a compiled "
            f"method. Received: make={shown(make)}"
        )
    if not hasattr(tasks, "__getitem__") or isinstance(tasks, str):
        raise TypeError(
            "`tasks` must be a sequence of tasks, such as a scenario. "
            f"Received: tasks={shown(tasks)}"
        )
    if isinstance(strengths, str) or not hasattr(strengths, "__len__"):
        raise TypeError(
            "`strengths` must be a list, such as [1, 10, 100]. Received: "
            f"strengths={shown(strengths)}"
        )
    if not len(strengths):
        raise ValueError(
            "`strengths` must be a list of at least one strength, such as "
            f"[1, 10, 100]. Received: strengths={shown(strengths)}"
        )
    accuracies = {
        strength: _validated(make(strength), tasks[:num_tasks], epochs)
        for strength in strengths
    }
    least = max(accuracies.values()) - tolerance
    chosen = next(s for s in strengths if accuracies[s] >= least)
    return chosen, accuracies


def _validated(method: Any, tasks: Sequence, epochs: int) -> float:
    for task in tasks:
        method.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        method.fit(task.train, epochs=epochs, shuffle=False, verbose=0)
        method.consolidate(task.validation, verbose=0)
    found = [
        method.evaluate(
            task.validation, task=task.name, return_dict=True, verbose=0
        )["accuracy"]
        for task in tasks
    ]
    return float(np.mean(found))
