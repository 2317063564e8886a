"""The trial of a shared plane against a plane of the task's own."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np

from tsn_keras.data import (
    TrainingData,
    in_full_batches,
    joined,
    num_rows,
    take_rows,
)
from tsn_keras.distribution import mean_over_workers
from tsn_keras.sharing import PlaneChoice

# A task that starts as another is ahead at first, and loses of that lead
# while it trains on: on permuted MNIST it can be level and end behind.
LEAD = 0.5
# The part by which the loss of a task that predicts labels may be higher than
# on its own data.
HARDLY_MORE = 0.05
# Examples on which labels are predicted.
LABELS = 256


def predicts_labels(
    model: keras.Model, choice: PlaneChoice, data: TrainingData
) -> bool:
    """Tells whether a similar task, as it is, predicts a new task's labels.

    It does if its loss on the new task's data is at most `LEAD` times that
    with the same labels in another order, and hardly more than on its own
    task's validation data. Otherwise a plane of its own may be better.
    """
    nearest = choice.nearest
    if choice.reason != "similar":
        return False
    if model.bank[nearest].head != model.running_task.head:
        return False
    if not model.compiled_heads.compiled_alike(nearest):
        # Its loss says nothing about the new task's labels.
        return False
    batches = data.first_batches(LABELS)
    if batches[0][1] is None or model.loss is None:
        # Nothing but the inputs tells tasks apart.
        return True
    x, y = joined([batch[:2] for batch in batches])
    x, y = in_full_batches((x, y), model.switch.batch_size)[0]
    order = np.random.default_rng(0).permutation(num_rows(y))
    others = take_rows(y, order)
    with model.switch.reading(nearest):
        y_pred = model(x, training=False)
        losses = [
            mean_over_workers(float(model.compute_loss(x, labels, y_pred)))
            for labels in (y, others)
        ]
    # The banks of earlier versions do not say how good a task was.
    reached = model.bank[nearest].facts.get("loss", -math.inf)
    as_good = losses[0] <= reached + HARDLY_MORE * abs(reached)
    return as_good and losses[0] <= LEAD * losses[1]


def try_planes(
    model: keras.Model,
    choice: PlaneChoice,
    data: TrainingData,
    start: Callable[[PlaneChoice], None],
) -> PlaneChoice:
    """Validates a doubtful choice on held-out data of the new task.

    From the starting values of each candidate the task is trained for some
    steps, dense in the slots it may own. It joins the plane if its loss on
    examples that took no part is then at most `LEAD` times that on a plane
    of its own: with all kernels, or else with the first ones only.

    Args:
        start: Function of a choice; brings the running task to the start of
            its training on that plane.

    Returns:
        The choice that was taken, with both losses; a plane of the task's own
        if the data cannot be split.
    """
    own = dataclasses.replace(choice, plane=None, own_fraction=1.0)
    split = data.held_out(choice.trial_steps)
    if split is None:
        return dataclasses.replace(own, reason="untried")
    loss_of_all = held_out_loss(model, choice, split, start)
    loss_of_own = held_out_loss(model, own, split, start)
    if loss_of_all is None or loss_of_own is None:
        # A subclass has metrics of its own.
        return dataclasses.replace(own, reason="untried")
    taken, loss = choice, loss_of_all
    # NaN compares false.
    if not loss <= LEAD * loss_of_own and _is_partial(model, choice):
        first = dataclasses.replace(choice, depth=choice.trial_depth)
        loss_of_first = held_out_loss(model, first, split, start)
        if loss_of_first < loss:
            taken, loss = first, loss_of_first
    if not loss <= LEAD * loss_of_own:
        taken = own
    losses = float(f"{loss:.5g}"), float(f"{loss_of_own:.5g}")
    return dataclasses.replace(taken, reason="trial", losses=losses)


def _is_partial(model: keras.Model, choice: PlaneChoice) -> bool:
    """Tells whether the depth of a second trial is less than all kernels."""
    num_kernels = len(model.bank.shapes)
    first = dataclasses.replace(choice, depth=choice.trial_depth)
    return first.num_joined(num_kernels) < num_kernels


def held_out_loss(
    model: keras.Model,
    choice: PlaneChoice,
    split: tuple[dict, dict],
    start: Callable[[PlaneChoice], None],
) -> float | None:
    """Trains from where a choice starts; `None` if there is no loss."""
    training, held_out = split
    start(choice)
    keras.Model.fit(model, **training, verbose=0)
    results = keras.Model.evaluate(
        model, **held_out, verbose=0, return_dict=True
    )
    if "loss" not in results:
        return None
    return mean_over_workers(results["loss"])
