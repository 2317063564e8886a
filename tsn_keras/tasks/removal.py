"""Forgetting a consolidated task on request."""

import keras
import numpy as np

from tsn_keras.layers import assign
from tsn_keras.tasks import checks


def remove_task(model: keras.Model, name: str) -> None:
    """Takes a task out of the bank, and out of what the model holds of it."""
    name = checks.removable_task(model, name)
    switch, head = model.switch, model.bank[name].head
    model.bank.remove(name)
    # The task is gone. Whatever interrupts from here on, all others answer.
    if switch.task == name:
        switch.forget()
    switch.clear_views()
    model.compiled_heads.drop_task(name)
    model.kept_examples.drop(name)
    _clear_optimizers(model)
    if all(model.bank[task].head != head for task in model.tasks):
        with model.heads.reading(head):
            _clear(model.heads.head.weights)
    if switch.task is None:
        switch.to(model.tasks[-1])


def _clear_optimizers(model: keras.Model) -> None:
    """Clears what optimizers know of a task; each one starts anew."""
    for optimizer in model.compiled_heads.optimizers:
        # Not its step and its learning rate.
        _clear([v for v in optimizer.variables if v.ndim])


def _clear(variables: list[keras.Variable]) -> None:
    for variable in variables:
        if variable.dtype != "string":
            assign(variable, np.zeros(variable.shape, variable.dtype))
