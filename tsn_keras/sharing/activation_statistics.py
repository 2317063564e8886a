"""Summary statistics of the activations of masked layers."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import tree

MOST_UNITS = 16
SMALLEST_DEVIATION = 0.1
LARGEST = float(np.finfo(np.float16).max)


def masked_layers(
    root: keras.layers.Layer, kernels: list[keras.Variable]
) -> list[keras.layers.Layer]:
    """Returns the layers that own kernels, in the order of the kernels.

    Args:
        root: `keras.layers.Layer` that holds them.
        kernels: list of `keras.Variable`.
    """
    layers = list(root._flatten_layers())
    owners = []
    for kernel in kernels:
        holders = [
            layer
            for layer in layers
            if any(weight is kernel for weight in layer.weights)
        ]
        # A model may hold one layer alone, and have no weights beside its.
        owner = min(
            holders,
            key=lambda x: (len(x.weights), isinstance(x, keras.Model)),
        )
        if owner not in owners:
            owners.append(owner)
    return owners


@contextlib.contextmanager
def _observed(
    layers: list[keras.layers.Layer], outputs: dict[int, np.ndarray]
) -> Iterator[None]:
    """Notes the last output of each layer while the context lasts."""

    def noting(index, call):
        def noting_call(*args, **kwargs):
            result = call(*args, **kwargs)
            first = tree.flatten(result)[0]
            if isinstance(first, tf.__internal__.EagerTensor):
                outputs[index] = np.asarray(first, np.float32)
            return result

        return noting_call

    for index, layer in enumerate(layers):
        layer.call = noting(index, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def activation_statistics(
    forward: Callable[[], object], layers: list[keras.layers.Layer]
) -> np.ndarray:
    """Returns mean and deviation of some units of every masked layer.

    At most 16 evenly spaced units a layer are kept; a deviation is at least
    a tenth of the layer's, so that dead units do not count for too much.

    Args:
        forward: function that runs the network eagerly on the sample.
        layers: list of layers to observe.

    Returns:
        float16 array, all means followed by all deviations.
    """
    outputs: dict[int, np.ndarray] = {}
    with _observed(layers, outputs):
        forward()
    means, deviations = [], []
    for index in sorted(outputs):
        units = outputs[index].reshape(-1, outputs[index].shape[-1])
        count = min(MOST_UNITS, units.shape[1])
        chosen = np.linspace(0, units.shape[1] - 1, count).astype(int)
        units = units[:, chosen]
        deviation = units.std(axis=0)
        floor = SMALLEST_DEVIATION * np.sqrt(np.square(deviation).mean())
        means.append(units.mean(axis=0))
        deviations.append(np.maximum(deviation, max(floor, 1e-4)))
    if not means:
        return np.zeros(0, np.float16)
    statistics = np.concatenate(means + deviations)
    return statistics.clip(-LARGEST, LARGEST).astype(np.float16)


def kl_divergence(new: np.ndarray, stored: np.ndarray) -> float:
    """Returns how far activations are from those of a stored task.

    The mean over units of the divergence between normal distributions:

    `KL(p || q) = log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2`

    Args:
        new: float16 array, statistics `p` of the new task's sample.
        stored: float16 array, statistics `q` of the stored task.

    Returns:
        float, 0 for equal statistics; infinite where nothing can be
        compared.
    """
    if new.size != stored.size or not new.size:
        return float("inf")
    mean_p, deviation_p = np.split(new.astype(np.float64), 2)
    mean_q, deviation_q = np.split(stored.astype(np.float64), 2)
    ratio = deviation_p / deviation_q
    shift = (mean_p - mean_q) / deviation_q
    return float(np.mean(-np.log(ratio) + (ratio**2 + shift**2 - 1.0) / 2.0))
