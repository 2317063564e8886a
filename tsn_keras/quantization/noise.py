"""Layers that do nothing but add noise in training."""

import contextlib
from collections.abc import Iterator

import keras
from keras import layers

# What says how much noise there is, for each kind of them.
_AMOUNTS = {
    layers.Dropout: "rate",
    layers.AlphaDropout: "rate",
    layers.GaussianDropout: "rate",
    layers.GaussianNoise: "stddev",
}


@contextlib.contextmanager
def without_noise(model: keras.Model) -> Iterator[None]:
    """Lets `Dropout` and its like rest for what is traced in the context.

    All else, batch normalization as well, stays in training mode. Layers that
    drop something of their own, as recurrent ones do, go on with it.

    Args:
        model: `keras.Model`, whose layers of all depths are meant.
    """
    amounts = []
    for layer in model._flatten_layers():
        for kind, name in _AMOUNTS.items():
            if isinstance(layer, kind):
                amounts.append((layer, name, getattr(layer, name)))
    try:
        for layer, name, _ in amounts:
            setattr(layer, name, 0.0)
        yield
    finally:
        for layer, name, amount in amounts:
            setattr(layer, name, amount)
