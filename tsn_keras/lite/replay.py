"""Runs a model's backbone and head with other values in its variables."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tsn_keras.layers import subnetworks


def _call_wrapped(subnetwork, inputs, *args, **kwargs):
    return subnetwork.layer(inputs, *args, **kwargs)


@contextlib.contextmanager
def _wrappers_removed(backbone: keras.layers.Layer) -> Iterator[None]:
    """Lets each `Subnetwork` run its layer without masks.

    Its own stateless scope would hide the values of the scope around it.
    """
    layers = subnetworks(backbone)
    for layer in layers:
        layer.call = functools.partial(_call_wrapped, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def task_variables(model: Any) -> list[keras.Variable]:
    """Returns what differs from task to task: kernels, then private ones.

    Args:
        model: `tsn_keras.ContinualModel`, its head selected.

    Returns:
        list of `keras.Variable`, in the order of `task_values`.
    """
    kernels = [kernel.kernel for kernel in model.switch.kernels]
    return kernels + model.switch.private


def task_values(model: Any, task: str) -> list:
    """Returns a consolidated task's values, from the bank.

    Args:
        model: `tsn_keras.ContinualModel`.
        task: str.

    Returns:
        list of arrays, in the order of `task_variables`.
    """
    return model.bank.effective(task) + model.bank.private(task)


def replay(model: Any, inputs: Any, values: list) -> Any:
    """Computes a task's outputs with the given values, and no masks.

    Args:
        model: `tsn_keras.ContinualModel`, its head selected.
        inputs: nest of tensors, batch first.
        values: list of tensors or arrays, in the order of `task_variables`.

    Returns:
        nest of tensors.
    """
    mapping = list(zip(task_variables(model), values))
    # As constants: a file has no other place for what no task changes.
    with tf.init_scope():
        base = model.switch.base_values()
    mapping += list(zip(model.switch.base, base))
    with _wrappers_removed(model.backbone):
        with keras.StatelessScope(state_mapping=mapping):
            # Augmentation is active by itself where nobody says otherwise.
            features = model.backbone(inputs, training=False)
            return model.heads(features, training=False)
