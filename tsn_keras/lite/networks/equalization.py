"""Gives the channels of a layer equal ranges, for integers of eight bits."""

import keras
import numpy as np

from tsn_keras.lite.networks.links import (
    SCALABLE,
    Link,
    Values,
    activation_name,
    outgoing,
)

layers = keras.layers
SCALABLE_ACTIVATIONS = ("linear", "relu", "leaky_relu")
# A normalized channel hardly ever goes beyond so many standard deviations.
DEVIATIONS = 4.0
# The least range of a channel and of its weights, as part of the largest.
LEAST = 1e-3


def equalize(links: list[Link], values: Values) -> bool:
    """Balances the ranges of channels and of the weights behind them.

    LiteRT has one scale for all channels of a layer, so that those of a small
    range are left with few of the 256 steps. A channel behind a batch
    normalization is divided by `s`, and the weights that lead out of it are
    multiplied by `s`, which changes no output:

        s = sqrt(range of the channel / range of its outgoing weights)

    The range of a channel is `beta + 4 * |gamma|`: no data are needed. Chains
    without batch normalization, or with layers that do not scale, are left as
    they are (Nagel et al., "Data-free quantization through weight equalization
    and bias correction", 2019, section 4.1).

    Values are changed in place. Returns whether any were.
    """
    changed = False
    for link in links:
        normalization = _last_normalization(link)
        if normalization is not None:
            _scale(link, normalization, values)
            changed = True
    return changed


def _last_normalization(link: Link) -> layers.BatchNormalization | None:
    """Returns the batch normalization behind which everything scales."""
    for layer in reversed(link.between):
        if type(layer) is layers.BatchNormalization:
            return layer if layer.center and layer.scale else None
        if not _is_scalable(layer):
            return None
    return None


def _is_scalable(layer: keras.layers.Layer) -> bool:
    if type(layer) is layers.ReLU:
        return layer.max_value is None and not layer.threshold
    if type(layer) is layers.Activation:
        return activation_name(layer) in SCALABLE_ACTIVATIONS
    return type(layer) in SCALABLE


def _scale(
    link: Link, normalization: layers.BatchNormalization, values: Values
) -> None:
    gamma, beta = values[normalization.gamma], values[normalization.beta]
    out = outgoing(link, values)
    channels = beta + DEVIATIONS * np.abs(gamma)
    weights = np.abs(out).max(axis=(0, 2))
    scale = np.sqrt(_relative(channels) / _relative(weights))
    scale = (scale / scale.max()).astype(gamma.dtype)
    values[normalization.gamma] = gamma / scale
    values[normalization.beta] = beta / scale
    kernel = values[link.consumer.kernel]
    values[link.consumer.kernel] = (out * scale[:, None]).reshape(kernel.shape)


def _relative(ranges: np.ndarray) -> np.ndarray:
    """Returns ranges as parts of the largest, none of them tiny."""
    largest = ranges.max()
    if not largest > 0:
        return np.ones_like(ranges)
    return np.maximum(ranges / largest, LEAST)
