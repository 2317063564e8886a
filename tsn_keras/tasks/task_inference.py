"""Which task is it: the most likely one of each example."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data import (
    check_finite,
    check_integers,
    check_shapes,
    evaluation_batches,
    joined,
    num_rows,
    take_rows,
)
from tsn_keras.inference import (
    Inference,
    InferredTasks,
    Known,
    candidates,
    get_scores,
    known_of,
    learned,
    needs_outputs,
)
from tsn_keras.tasks import checks
from tsn_keras.tasks.task_view import TaskView

BATCHES = "example", "together"
# Examples that a task predicts at once; large images take much memory.
BATCH = 128
# Examples of the validation data that a task is learned from.
MOST_EXAMPLES = 1024


def infer_task(
    model: keras.Model,
    x: Any,
    tasks: Sequence[str] | None = None,
    batch: str = "example",
    max_tasks: int | None = None,
) -> InferredTasks:
    """Finds the task of each example, or of all together.

    Args:
        x: Inputs as `predict` takes them: a nest of arrays, or a data set.
        tasks: Names to choose from; by default all that are consolidated.
        batch: `"example"`, or `"together"` if all are of one task.
        max_tasks: How many tasks predict an example at most. By default all
            that scores without predictions do not rule out.
    """
    names, scores = _checked(model, tasks, batch, max_tasks)
    x = _as_arrays(x)
    check_shapes(x, model.switch.inputs)
    check_finite(x, "x")
    count = num_rows(x)
    facts = {name: known_of(scores, model.bank[name]) for name in names}
    total = np.zeros((count, len(names)))
    for index, score in enumerate(scores):
        if score.needs_outputs:
            continue
        for column, name in enumerate(names):
            total[:, column] += facts[name].standard(index, score, x, None)
    # All of one task have the same candidates.
    total = _of_batch(total, batch)
    if needs_outputs(scores):
        total += _of_outputs(model, scores, x, total, facts, max_tasks)
        total = _of_batch(total, batch)
    best = total.argmax(axis=1)
    nearest = np.array(names, object)[best]
    lowest = np.array([facts[name].lowest for name in names])[best]
    if batch == "together":
        # A mean of many varies less.
        lowest = lowest / np.sqrt(count)
    highest = total[np.arange(count), best]
    fits = highest >= lowest
    likelihood = np.exp(total - highest[:, None])
    likelihood /= likelihood.sum(axis=1, keepdims=True)
    chosen = np.where(fits, nearest, None)
    return InferredTasks(chosen, nearest, names, likelihood, -highest)


def _of_batch(total: np.ndarray, batch: str) -> np.ndarray:
    """Returns the scores of each example, or of all of them for each."""
    if batch == "example":
        return total
    return np.tile(total.mean(axis=0), (len(total), 1))


def _checked(model, tasks, batch, max_tasks) -> tuple[tuple[str, ...], list]:
    if batch not in BATCHES:
        raise ValueError(f"`batch` must be one of {BATCHES}. Received: {batch}")
    check_integers(lowest=1, or_none=True, max_tasks=max_tasks)
    if isinstance(tasks, str):
        raise TypeError(
            f"`tasks` must be a list of names. Received: tasks='{tasks}'"
        )
    names = model.bank.tasks if model.bank else ()
    if tasks is not None:
        names = tuple(checks.consolidated_task(model, t) for t in tasks)
    if not names:
        raise ValueError(
            "There is no consolidated task to choose from. Learn one first: "
            "`add_task`, `fit`, `consolidate`."
        )
    scores = scores_of(model)
    if max_tasks is not None and all(score.needs_outputs for score in scores):
        raise ValueError(
            "`max_tasks` chooses by scores that need no predictions, and the "
            f"model's `inference` has none. Received: max_tasks={max_tasks}. "
            "Leave it out, or add `tsn_keras.inference.InputMeans()`."
        )
    return tuple(dict.fromkeys(names)), scores


def scores_of(model: keras.Model) -> list[Inference]:
    """Returns the scores of a model, which may be set between tasks."""
    scores = get_scores(model.inference)
    if not scores:
        raise ValueError(
            "The model has no `inference`, which tells tasks apart. Set "
            "`model.inference = 'confidence'`, and then call "
            "`model.learn_inference(task, validation_data)` for each task."
        )
    return scores


def _of_outputs(
    model: keras.Model,
    scores: list[Inference],
    x: Any,
    total: np.ndarray,
    facts: dict[str, Known],
    max_tasks: int | None,
) -> np.ndarray:
    """Scores of what tasks predict, where they may be the most likely."""
    chosen = candidates(total, max_tasks)
    found = np.where(chosen, 0.0, -np.inf)
    for column, name in enumerate(facts):
        rows = np.flatnonzero(chosen[:, column])
        if not rows.size:
            continue
        part = take_rows(x, rows)
        outputs = outputs_of(model, part, name)
        found[rows, column] = sum(
            facts[name].standard(index, score, part, outputs)
            for index, score in enumerate(scores)
            if score.needs_outputs
        )
    return found


def outputs_of(model: keras.Model, x: Any, task: str) -> list[np.ndarray]:
    """Returns what a task puts out, one array for each output."""
    if model.switch.batch_size is not None:
        return tree.flatten(model.predict(x, task=task, verbose=0))
    view, parts = TaskView(model, task), []
    for start in range(0, num_rows(x), BATCH):
        # Many calls of a few rows: `predict` takes milliseconds for each.
        outputs = view(take_rows(x, slice(start, start + BATCH)))
        parts.append(tree.map_structure(np.asarray, outputs))
    return tree.flatten(joined(parts))


def learn_inference(
    model: keras.Model, task: str, validation_data: Any
) -> None:
    """Stores what tells a consolidated task apart from others."""
    name = checks.consolidated_task(model, task)
    scores = scores_of(model)
    x = _as_arrays(validation_data, labelled=True)
    check_shapes(x, model.switch.inputs)
    check_finite(x, "validation_data")
    rows = np.linspace(0, num_rows(x) - 1, min(MOST_EXAMPLES, num_rows(x)))
    x = take_rows(x, rows.astype(int))
    outputs = None
    if needs_outputs(scores):
        with model.switch.reading(name):
            check_probabilities(model, name)
        outputs = outputs_of(model, x, name)
    codes, fact = learned(scores, x, outputs)
    model.bank.set_inference(name, codes, fact)


def check_probabilities(model: keras.Model, task: str) -> None:
    """Refuses a task whose head has neither logits nor probabilities."""
    if not has_probabilities(model):
        raise ValueError(
            f"The head of task '{task}' has no probabilities: it is trained "
            f"with the loss {_losses(model)}. How sure it is cannot be told. "
            "Give `inference=tsn_keras.inference.InputMeans()`."
        )


def has_probabilities(model: keras.Model) -> bool:
    """Tells whether a head has logits or probabilities, by its loss.

    It is that of the task that the thread reads or trains.
    """
    names = [name.replace("_", "").lower() for name in _losses(model)]
    # Without a loss nobody knows what the outputs are.
    return bool(names) and all("crossentropy" in name for name in names)


def _losses(model: keras.Model) -> list[str]:
    losses = [one for one in tree.flatten(model.loss) if one is not None]
    return [
        one if isinstance(one, str) else getattr(one, "name", None) or str(one)
        for one in losses
    ]


def _as_arrays(x: Any, labelled: bool = False) -> Any:
    is_set = isinstance(x, (tf.data.Dataset, keras.utils.PyDataset))
    if is_set or labelled:
        batches = evaluation_batches(x)
        if not batches:
            raise ValueError("The data are empty. Give some examples.")
        unpack = keras.utils.unpack_x_y_sample_weight
        x = joined([unpack(batch)[0] for batch in batches])
    x = tree.map_structure(np.asarray, x)
    if not num_rows(x):
        raise ValueError("`x` is empty. Give some examples.")
    return x
