"""Forgetting a consolidated task on request."""

import keras
import numpy as np

from tsn_keras.layers import assign
from tsn_keras.tasks import checks
from tsn_keras.tasks.initialization import fresh_weights


def remove_task(model: keras.Model, name: str) -> None:
    """Takes a task out of the bank, and out of what the model holds of it."""
    name = checks.removable_task(model, name)
    try:
        model.bank.remove(name)
        _forget_removed(model)
    except BaseException:
        # The bank changes in one step, and nothing else may stay behind it.
        if name not in model.bank:
            _forget_removed(model)
        raise


def _forget_removed(model: keras.Model) -> None:
    """Clears what the model holds of tasks that its bank does not have."""
    switch, bank = model.switch, model.bank
    if switch.task not in bank:
        switch.leave()
    switch.clear_views()
    model.compiled_heads.keep_tasks(bank.tasks)
    model.kept_examples.keep_tasks(bank.tasks)
    _clear_optimizers(model)
    used = {bank[task].head for task in bank.tasks}
    for index in set(range(model.heads.count)) - used:
        with model.heads.reading(index):
            _begin_anew(switch.head, switch.features)
    if switch.is_left:
        for variable in switch.trained:
            _clear(variable)
        switch.to(bank.tasks[-1])


def _begin_anew(head: keras.layers.Layer, features: object) -> None:
    """Gives the weights of a head other values: it may be used again."""
    if head.built:
        fresh = fresh_weights(head, features)
        for variable, value in zip(head.weights, fresh):
            variable.assign(value)


def _clear_optimizers(model: keras.Model) -> None:
    """Clears what optimizers know of a task; each one starts anew."""
    for optimizer in model.compiled_heads.optimizers:
        for variable in optimizer.variables:
            # Not its step and its learning rate.
            if variable.ndim:
                _clear(variable)


def _clear(variable: keras.Variable) -> None:
    assign(variable, np.zeros(variable.shape, variable.dtype))
