"""An optimizer that each task starts with anew."""

import copy
from typing import Any

import keras
import numpy as np
from keras.optimizers import Optimizer, schedules

from tsn_keras.keras_internals import (
    raw_learning_rate,
    set_learning_rate,
    take_decay_exclusions,
)
from tsn_keras.layers import read


class OptimizerFactory:
    """Makes optimizers like the one that a model was compiled with.

    Args:
        optimizer: The compiled optimizer. Its learning rate may be a user's
            own schedule that has no configuration: training needs none.
    """

    def __init__(self, optimizer: Optimizer):
        rate = raw_learning_rate(_inner(optimizer))
        self._schedule = None if _is_number(rate) else rate
        self._config = _config_of(optimizer, self._schedule)

    def make(self) -> Optimizer:
        """Returns a new optimizer, which remembers nothing."""
        # Keras takes an entry out of a loss-scaling optimizer's configuration.
        # `keras.optimizers.deserialize` does not know all optimizers of Keras.
        optimizer = keras.saving.deserialize_keras_object(
            copy.deepcopy(self._config)
        )
        if self._schedule is not None:
            set_learning_rate(optimizer, self._schedule)
        return optimizer

    def make_for_task(self, before: Optimizer) -> Optimizer:
        """Returns a new optimizer with what a user has set on another one.

        That is its learning rate, if it is a number, and what it leaves out
        of weight decay, which is in no configuration.
        """
        fresh = self.make()
        take_learning_rate(fresh, before)
        take_decay_exclusions(_inner(fresh), _inner(before))
        return fresh

    def reset_learning_rate(self, optimizer: Optimizer) -> None:
        """Gives an optimizer the compiled learning rate, if it is a number."""
        take_learning_rate(optimizer, self.make())


def start_optimizer(model: keras.Model) -> None:
    """Gives a model's task an optimizer with no memory of earlier ones.

    A learning rate that was set since the task was added stays. An optimizer
    that was traced already keeps its variables, whose values start again, so
    that nothing needs to be traced again.
    """
    used = model.optimizer
    fresh = model.optimizer_factory.make_for_task(used)
    if model.train_function is None:
        if used.built:
            model.compiled_heads.set("optimizer", fresh)
        return
    fresh.build(model.trainable_variables)
    for variable, start in zip(used.variables, fresh.variables):
        variable.assign(start)


def _config_of(optimizer: Optimizer, schedule: Any) -> dict[str, Any]:
    if schedule is None:
        return keras.optimizers.serialize(optimizer)
    set_learning_rate(optimizer, schedules.CosineDecay(1.0, 1))
    try:
        return keras.optimizers.serialize(optimizer)
    finally:
        set_learning_rate(optimizer, schedule)


def take_learning_rate(optimizer: Optimizer, other: Optimizer) -> None:
    """Gives one optimizer the learning rate of another, if it is a number."""
    own, rate = (raw_learning_rate(_inner(each)) for each in (optimizer, other))
    if isinstance(own, keras.Variable) and isinstance(rate, keras.Variable):
        own.assign(rate)


def check_learning_rate(optimizer: Optimizer, compiled: Optimizer) -> None:
    """Refuses a schedule that took the place of the compiled learning rate.

    Steps that were traced would go on with the number.

    Raises:
        ValueError: If there is a schedule.
    """
    rate = raw_learning_rate(_inner(optimizer))
    before = raw_learning_rate(_inner(compiled))
    was_number = isinstance(before, keras.Variable)
    if was_number and not isinstance(rate, keras.Variable):
        raise ValueError(
            "`optimizer.learning_rate` can be set to a number for a task. For "
            "a schedule, `compile` the model with an optimizer that has it. "
            f"Received: {rate!r}"
        )


def _is_number(rate: Any) -> bool:
    return isinstance(rate, keras.Variable) or not callable(rate)


def _inner(optimizer: Optimizer) -> Optimizer:
    """Returns the optimizer that another one scales the loss for."""
    return getattr(optimizer, "inner_optimizer", optimizer)


class FallingRate(schedules.LearningRateSchedule):
    """A learning rate that falls linearly to 0, as often as it is begun."""

    def __init__(self):
        # Plain numbers would be fixed in the traced step.
        self._peak, self._first, self._steps = (
            keras.Variable(0.0, trainable=False) for _ in range(3)
        )

    def begin(self, peak: float, first: int, steps: int) -> None:
        """Lets the rate fall from `peak` over some steps from `first` on."""
        self._peak.assign(peak)
        self._first.assign(first)
        self._steps.assign(steps)

    def __call__(self, step):
        done = keras.ops.cast(step, "float32") - self._first
        return self._peak * keras.ops.maximum(1.0 - done / self._steps, 0.0)


def optimizer_with(
    rate: schedules.LearningRateSchedule, model: keras.Model
) -> Optimizer:
    """Returns an optimizer like a model's own, but for its learning rate."""
    optimizer = model.optimizer_factory.make()
    set_learning_rate(_inner(optimizer), rate)
    take_decay_exclusions(_inner(optimizer), _inner(model.optimizer))
    optimizer.build(model.trainable_variables)
    return optimizer


def go_on_from(optimizer: Optimizer, other: Optimizer) -> None:
    """Gives one optimizer what another remembers of its steps."""
    rate = raw_learning_rate(_inner(other))
    kept = [v for v in other.variables if v is not rate]
    for variable, value in zip(optimizer.variables, kept):
        variable.assign(value)


def current_rate(optimizer: Optimizer) -> float | None:
    """Returns the learning rate, if it is a number."""
    rate = raw_learning_rate(_inner(optimizer))
    return float(read(rate)) if _is_number(rate) else None


def highest_rate(optimizer: Optimizer, steps: int) -> float:
    """Returns the highest learning rate that a schedule has in some steps."""
    rate = raw_learning_rate(_inner(optimizer))
    if not isinstance(rate, schedules.LearningRateSchedule):
        # A function of the user's own, which is not told the step.
        return float(rate())
    looked_at = np.linspace(0, max(steps - 1, 0), num=33).astype(int)
    return max(float(rate(int(step))) for step in looked_at)
