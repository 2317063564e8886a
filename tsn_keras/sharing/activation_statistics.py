"""Summary statistics of the activations of masked layers."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.keras_internals import flatten_layers, observed_calls

MOST_UNITS = 16
SMALLEST_DEVIATION = 0.1
# A unit whose mean is so many deviations from zero is practically constant.
FARTHEST = 16.0


def masked_layers(
    root: keras.layers.Layer, kernels: list[keras.Variable]
) -> list[keras.layers.Layer]:
    """Returns the layers that own kernels, in the order of the kernels."""
    layers = flatten_layers(root)
    owners = []
    for kernel in kernels:
        holders = [x for x in layers if id(kernel) in map(id, x.weights)]
        # A model that holds one layer alone has the same weights as it.
        owner = min(
            holders, key=lambda x: (len(x.weights), isinstance(x, keras.Model))
        )
        if owner not in owners:
            owners.append(owner)
    return owners


def activation_statistics(
    forward: Callable[[], object] | list[Callable[[], object]],
    layers: list[keras.layers.Layer],
) -> np.ndarray:
    """Returns mean and deviation of some units of every masked layer.

    The float32 result holds all means, divided by their deviations and at most
    16 from zero, and then the logarithms of all deviations. So units of all
    layers have one scale, and a few bits hold them. At most 16 evenly spaced
    units of each layer are kept. A deviation is at least a tenth of the
    layer's, so that dead units do not count for too much.

    Args:
        forward: function that runs the network eagerly on the sample, or one
            for each part of the sample.
        layers: the layers to observe; of several calls the last one counts.
    """
    outputs: dict[int, np.ndarray] = {}

    def note(index, result):
        first = tree.flatten(result)[0]
        if isinstance(first, tf.__internal__.EagerTensor):
            outputs[index] = np.asarray(first, np.float32)

    found = []
    for run in tree.flatten(forward):
        outputs = {}
        with observed_calls(layers, note):
            run()
        found.append(outputs)
    outputs = {
        index: np.concatenate([part[index] for part in found])
        for index in found[0]
    }
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

    This is the mean over units of the divergence of normal distributions, `p`
    of the new and `q` of the stored task. It is infinite if the statistics
    cannot be compared.

    `KL(p || q) = log(s_q / s_p) + (s_p^2 + (m_p - m_q)^2) / (2 s_q^2) - 1/2`
    """
    new, stored = np.asarray(new), np.asarray(stored)
    for name, array in (("new", new), ("stored", stored)):
        if array.dtype.kind not in "fiu":
            raise TypeError(
                f"`{name}` must be an array of numbers. Received: dtype "
                f"{array.dtype}"
            )
    if new.size != stored.size or not new.size:
        return float("inf")
    mean_p, log_p = np.split(new.astype(np.float64), 2)
    mean_q, log_q = np.split(stored.astype(np.float64), 2)
    ratio = np.exp(log_p - log_q)
    shift = mean_p * ratio - mean_q
    return float(np.mean(log_q - log_p + (ratio**2 + shift**2 - 1.0) / 2.0))
