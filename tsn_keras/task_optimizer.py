"""An optimizer that each task starts with anew."""

import copy
from typing import Any

import keras


def parts_of_optimizer(
    optimizer: keras.optimizers.Optimizer,
) -> tuple[dict[str, Any], Any]:
    """Returns configuration and schedule of the learning rate, if it has one.

    A user's own schedule may have no configuration: training needs none.

    Args:
        optimizer: `keras.optimizers.Optimizer`.
    """
    rate = _inner(optimizer)._learning_rate
    if isinstance(rate, keras.Variable) or not callable(rate):
        return keras.optimizers.serialize(optimizer), None
    optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(1.0, 1)
    try:
        return keras.optimizers.serialize(optimizer), rate
    finally:
        optimizer.learning_rate = rate


def take_learning_rate(
    optimizer: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer
) -> None:
    """Gives one optimizer the learning rate of another, if it is a number.

    Args:
        optimizer: `keras.optimizers.Optimizer`, which is changed.
        other: `keras.optimizers.Optimizer`.
    """
    own, rate = (_inner(each)._learning_rate for each in (optimizer, other))
    if isinstance(own, keras.Variable) and isinstance(rate, keras.Variable):
        own.assign(rate)


def check_learning_rate(
    optimizer: keras.optimizers.Optimizer, compiled: keras.optimizers.Optimizer
) -> None:
    """Refuses a schedule that took the place of the compiled learning rate.

    Steps that were traced would go on with the number.

    Args:
        optimizer: `keras.optimizers.Optimizer`, at work.
        compiled: `keras.optimizers.Optimizer`, as it was compiled.

    Raises:
        ValueError: If there is one.
    """
    rate = _inner(optimizer)._learning_rate
    before = _inner(compiled)._learning_rate
    was_number = isinstance(before, keras.Variable)
    if was_number and not isinstance(rate, keras.Variable):
        raise ValueError(
            "`optimizer.learning_rate` can be set to a number for a task. For "
            "a schedule, `compile` the model with an optimizer that has it. "
            f"Received: {rate!r}"
        )


def exclude_from_decay_too(
    fresh: keras.optimizers.Optimizer, before: keras.optimizers.Optimizer
) -> None:
    """Takes over what weight decay leaves out, which is in no configuration.

    Args:
        fresh: `keras.optimizers.Optimizer`, which is changed.
        before: `keras.optimizers.Optimizer`.
    """
    fresh, before = _inner(fresh), _inner(before)
    for name in (
        "_exclude_from_weight_decay",
        "_exclude_from_weight_decay_pattern",
    ):
        if hasattr(before, name):
            setattr(fresh, name, getattr(before, name))


def make_optimizer(
    config: dict[str, Any], schedule: Any
) -> keras.optimizers.Optimizer:
    """Returns a new optimizer.

    Args:
        config: dict, as `parts_of_optimizer` returns it.
        schedule: schedule of the learning rate, or `None` if it has none.
    """
    # Keras takes an entry out of a loss-scaling optimizer's configuration.
    # `keras.optimizers.deserialize` does not know all optimizers of Keras.
    optimizer = keras.saving.deserialize_keras_object(copy.deepcopy(config))
    if schedule is not None:
        optimizer.learning_rate = schedule
    return optimizer


def _inner(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """Returns the optimizer that another one scales the loss for."""
    return getattr(optimizer, "inner_optimizer", optimizer)
