"""Layers that train in another way for a while."""

import contextlib
from collections.abc import Iterator

import keras
from keras import layers

from tsn_keras.keras_internals import (
    call_with,
    calling_instead,
    flatten_layers,
)

# What moving averages keep of themselves in a step of a short training.
QUICK_MOMENTUM = 0.95

# The argument that says how much noise there is, for each kind of layer.
_AMOUNTS = {
    layers.Dropout: "rate",
    layers.AlphaDropout: "rate",
    layers.GaussianDropout: "rate",
    layers.GaussianNoise: "stddev",
}


@contextlib.contextmanager
def without_noise(model: keras.Model) -> Iterator[None]:
    """Turns `Dropout` and the like off in the context, in this thread.

    This holds for layers at all depths of the model. Everything else stays in
    training mode, batch normalization too. Dropout that is an argument of
    another layer, such as a recurrent one, stays on.
    """
    changes = [
        (layer, lambda call, quiet=call_with(layer, name, 0.0): quiet)
        for layer in flatten_layers(model)
        for kind, name in _AMOUNTS.items()
        if isinstance(layer, kind)
    ]
    with calling_instead(changes):
        yield


@contextlib.contextmanager
def with_quick_averages(model: keras.Model) -> Iterator[None]:
    """Lets batch normalization follow within a short training.

    Its moving averages, which inference uses, would be those of the network
    before the training, where that is shorter than some hundred steps.
    """
    changes = [
        (layer, lambda call, quick=_quick(layer): quick)
        for layer in flatten_layers(model)
        if isinstance(layer, layers.BatchNormalization)
    ]
    with calling_instead(changes):
        yield


def _quick(layer: layers.BatchNormalization):
    momentum = min(layer.momentum, QUICK_MOMENTUM)
    return call_with(layer, "momentum", momentum)
