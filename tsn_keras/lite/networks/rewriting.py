"""Rebuilds a network that computes the same in a better form."""

import dataclasses
import warnings
from typing import Any

import keras
import numpy as np

from tsn_keras.lite.networks.dead_units import settle
from tsn_keras.lite.networks.equalization import equalize
from tsn_keras.lite.networks.float32 import float32_by_default
from tsn_keras.lite.networks.links import (
    Link,
    Values,
    find_links,
    outgoing,
    unwrapped,
)

layers = keras.layers

# Keras adds whole configurations to its messages.
MAX_REASON = 200


@dataclasses.dataclass(frozen=True)
class RewrittenNetwork:
    """A task's network; `removed` are its dead units by layer name."""

    backbone: keras.Model
    head: keras.layers.Layer
    removed: dict[str, int]

    def __call__(self, inputs: Any) -> Any:
        features = self.backbone(inputs, training=False)
        return self.head(features, training=False)


def rewrite_network(
    inner: keras.Model,
    head: keras.layers.Layer,
    variables: list[keras.Variable],
    arrays: list[np.ndarray],
    remove_dead_units: bool = True,
    equalize_channels: bool = False,
) -> RewrittenNetwork | None:
    """Rewrites a backbone and the head behind it, which changes no output.

    Chains of Dense and convolution layers in Sequential and functional models
    are rewritten; all else is left as it is. `arrays` are the values of
    `variables`. Returns `None` if there is nothing to rewrite.
    """
    # Subclasses may do anything in `call`.
    is_keras = type(inner).__module__.startswith("keras.")
    if not (is_keras and len(getattr(inner, "outputs", None) or ()) == 1):
        return None
    links = find_links(inner, head)
    values = Values(variables, arrays)
    units, removed = {}, {}
    if remove_dead_units:
        units, removed = _remove_dead_units(links, values)
    equalized = equalize_channels and equalize(links, values)
    if not removed and not equalized:
        return None
    try:
        # Models have a policy of their own, which is the user's default.
        with float32_by_default():
            rebuilt = _rebuilt(inner, head, units, values)
    except (AttributeError, NotImplementedError, TypeError, ValueError) as why:
        warnings.warn(
            "The network is exported as it is, with units that do not matter: "
            "it cannot be made anew from its configuration. "
            f"{str(why)[:MAX_REASON]}",
            stacklevel=2,
        )
        return None
    return RewrittenNetwork(*rebuilt, removed)


def _remove_dead_units(links: list[Link], values: Values) -> tuple[dict, dict]:
    """Takes dead units out of all arrays.

    Returns the units that are kept, by the layer's id, and the number of those
    removed, by its name.
    """
    kept, removed = {}, {}
    for link, units in zip(links, settle(links, values)):
        producer = link.producer
        kept[id(producer)] = units
        if len(units) < producer.kernel.shape[-1]:
            removed[producer.name] = producer.kernel.shape[-1] - len(units)
        _shrink(link, units, values)
    return kept, removed


def _shrink(link: Link, units: np.ndarray, values: Values) -> None:
    producer, consumer = link.producer, link.consumer
    *window, _, outputs = values[consumer.kernel].shape
    is_dense = isinstance(consumer, layers.Dense)
    shape = (-1, outputs) if is_dense else (*window, len(units), outputs)
    # Rows of a flattened input go position by position.
    values[consumer.kernel] = outgoing(link, values)[:, units].reshape(shape)
    values[producer.kernel] = values[producer.kernel][..., units]
    if producer.use_bias:
        values[producer.bias] = values[producer.bias][units]
    for layer in link.between:
        for variable in layer.weights:
            axis = -2 if variable.ndim > 1 else -1
            values[variable] = np.take(values[variable], units, axis=axis)


def _rebuilt(inner, head, units: dict, values: Values) -> tuple:
    """Returns backbone and head with layers of the new sizes."""
    pairs = []

    def clone(layer):
        if not isinstance(layer, layers.Layer):
            # An operation of `keras.ops`, which holds nothing.
            return layer
        layer = unwrapped(layer)
        config = layer.get_config()
        if id(layer) in units:
            name = "units" if isinstance(layer, layers.Dense) else "filters"
            config[name] = len(units[id(layer)])
        copy = type(layer).from_config(config)
        pairs.append((layer, copy))
        return copy

    backbone = keras.models.clone_model(inner, clone_function=clone)
    new_head = clone(head)
    new_head(backbone.outputs[0])
    for layer, copy in pairs:
        for old, new in zip(layer.weights, copy.weights):
            if old in values:
                new.assign(values[old])
        if isinstance(copy, layers.Normalization):
            # It computes with constants made of its weights.
            copy.finalize_state()
    return backbone, new_head
