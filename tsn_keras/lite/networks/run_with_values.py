"""Runs a model's backbone and head with other values in its variables."""

from typing import Any

import keras
import tensorflow as tf

from tsn_keras.layers import call_given, computing_with


def task_variables(model: Any) -> list[keras.Variable]:
    """Returns the variables that differ by task: kernels, then private ones.

    Private ones are those of the head that this thread reads.
    """
    kernels = [kernel.kernel for kernel in model.switch.kernels]
    return kernels + model.switch.private


def task_values(model: Any, task: str) -> list:
    """Returns a consolidated task's arrays, as `task_variables` has them."""
    return model.bank.effective(task) + model.bank.private(task)


def run_with_values(model: Any, inputs: Any, values: list) -> Any:
    """Computes outputs with values for `task_variables`, and no masks."""
    variables = task_variables(model) + model.switch.base
    # As constants: a file has no other place for what no task changes.
    with tf.init_scope():
        base = model.switch.base_values()
    # Once, or each layer would make a constant of its own.
    tensors = [
        tf.convert_to_tensor(value, variable.dtype)
        for variable, value in zip(variables, values + base)
    ]
    with computing_with(zip(variables, tensors)):
        # Augmentation is active by itself where nobody says otherwise.
        features = call_given(model.backbone, inputs, training=False)
        return model.heads(features, training=False)
