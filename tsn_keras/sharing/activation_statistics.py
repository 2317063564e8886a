"""Summary statistics of the activations of masked layers."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import tree

MOST_UNITS = 16
SMALLEST_DEVIATION = 0.1
# So many deviations off zero a unit is as good as constant.
FARTHEST = 16.0


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
    a tenth of the layer's, so that dead units do not count for too much. In
    deviations and logarithms all units have one scale, whatever their layer's,
    so that a few bits hold them.

    Args:
        forward: function that runs the network eagerly on the sample.
        layers: list of layers to observe.

    Returns:
        float32 array, all means in deviations (at most 16 off zero), followed
        by the logarithms of all deviations.
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
        deviation = units.std(axis=0, dtype=np.float64)
        floor = SMALLEST_DEVIATION * np.sqrt(np.square(deviation).mean())
        means.append(units.mean(axis=0, dtype=np.float64))
        deviations.append(np.maximum(deviation, max(floor, 1e-4)))
    if not means:
        return np.zeros(0, np.float32)
    mean, deviation = np.concatenate(means), np.concatenate(deviations)
    shift = (mean / deviation).clip(-FARTHEST, FARTHEST)
    return np.concatenate([shift, np.log(deviation)]).astype(np.float32)


def kl_divergence(new: np.ndarray, stored: np.ndarray) -> float:
    """Returns how far activations are from those of a stored task.

    The mean over units of the divergence between normal distributions:

    `KL(p || q) = log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2`

    Args:
        new: float array, statistics `p` of the new task's sample.
        stored: float array, statistics `q` of the stored task.

    Returns:
        float, 0 for equal statistics; infinite where nothing can be
        compared.
    """
    if new.size != stored.size or not new.size:
        return float("inf")
    mean_p, log_p = np.split(new.astype(np.float64), 2)
    mean_q, log_q = np.split(stored.astype(np.float64), 2)
    ratio = np.exp(log_p - log_q)
    shift = mean_p * ratio - mean_q
    return float(np.mean(log_q - log_p + (ratio**2 + shift**2 - 1.0) / 2.0))
