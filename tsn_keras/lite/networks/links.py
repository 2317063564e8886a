"""Layers one behind the other, and the units that lead from one to the next.

What is between two layers of weights treats every channel for itself, so that a
unit can be taken away, or scaled, if the weights behind it follow.
"""

import dataclasses

import keras
import numpy as np

from tsn_keras.keras_internals import history, nodes_in_order
from tsn_keras.layers import Subnetwork

layers = keras.layers
PRODUCERS = (layers.Dense, layers.Conv1D, layers.Conv2D)
# Layers that treat every channel for itself, and put out `s * y` for `s * x`
# with any positive `s` a channel; ReLU, if it has no other limit than zero.
SCALABLE = (
    (layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.Flatten)
    + (layers.SpatialDropout1D, layers.SpatialDropout2D)
    + (layers.MaxPooling1D, layers.MaxPooling2D)
    + (layers.AveragePooling1D, layers.AveragePooling2D)
    + (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D)
    + (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D)
    + (layers.UpSampling1D, layers.UpSampling2D)
    + (layers.ZeroPadding1D, layers.ZeroPadding2D)
)
# Layers that treat every channel for itself.
OTHERS = (layers.ELU, layers.GaussianNoise, layers.GaussianDropout)
CHANNELWISE = SCALABLE + OTHERS
ELEMENTWISE = frozenset(
    ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu")
    + ("sigmoid", "hard_sigmoid", "hard_silu", "tanh", "softplus", "mish")
    + ("softsign", "exponential")
)


def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer within a `Subnetwork`, or the layer itself."""
    return layer.layer if isinstance(layer, Subnetwork) else layer


def activation_name(layer: keras.layers.Layer) -> str | None:
    """Returns the name of a layer's activation, `linear` if it has none.

    It is `None` for an object without a name.
    """
    activation = getattr(layer, "activation", None)
    try:
        return "linear" if activation is None else activation.__name__
    except AttributeError:
        return None


def is_producer(layer: keras.layers.Layer) -> bool:
    """Tells whether units of a layer can be taken away."""
    return _is_consumer(layer) and activation_name(layer) in ELEMENTWISE


def _is_consumer(layer) -> bool:
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    groups = getattr(layer, "groups", 1)
    return type(layer) in PRODUCERS and last and groups == 1


def _is_channelwise(layer) -> bool:
    if getattr(layer, "data_format", None) == "channels_first":
        return False
    if type(layer) is layers.BatchNormalization:
        return layer.axis == -1
    if type(layer) is layers.DepthwiseConv2D:
        is_elementwise = activation_name(layer) in ELEMENTWISE
        return layer.depth_multiplier == 1 and is_elementwise
    if type(layer) is layers.Activation:
        return activation_name(layer) in ELEMENTWISE
    return type(layer) in CHANNELWISE


@dataclasses.dataclass(frozen=True)
class Link:
    """A Dense or convolution layer, the one that uses its units, and between.

    The layers between them treat each channel for itself.
    """

    producer: keras.layers.Layer
    between: tuple
    consumer: keras.layers.Layer


def find_links(inner: keras.Model, head: keras.layers.Layer) -> list[Link]:
    """Returns the links of a model and its head, first to last.

    Where a layer is used twice, or its output is, there is no link.
    """
    successors = _successors(inner, head)
    links = []
    for layer in inner.layers:
        producer = unwrapped(layer)
        if not is_producer(producer):
            continue
        between, following = [], _only(successors.get(id(layer)))
        while following is not None and _continues(between, following):
            between.append(unwrapped(following))
            following = _only(successors.get(id(following)))
        if following is not None and _is_consumer(unwrapped(following)):
            consumer = unwrapped(following)
            links.append(Link(producer, tuple(between), consumer))
    return links


def _continues(between: list, following) -> bool:
    """Tells whether channels are still those of the units after a layer."""
    layer = unwrapped(following)
    is_flat = any(type(before) is layers.Flatten for before in between)
    return _is_channelwise(layer) and not (is_flat and layer.weights)


def _only(followers: list | None):
    return followers[0] if followers and len(followers) == 1 else None


def _successors(inner, head) -> dict[int, list]:
    """Returns, for each layer that is used once, the layers behind it."""
    if isinstance(inner, keras.Sequential):
        chain = [*inner.layers, head]
        return {
            id(layer): [following]
            for layer, following in zip(chain, chain[1:])
            if chain.count(layer) == chain.count(following) == 1
        }
    behind, uses = {}, {}
    for node in nodes_in_order(inner):
        uses[id(node.operation)] = uses.get(id(node.operation), 0) + 1
        for tensor in node.input_tensors:
            source, *_ = history(tensor)
            behind.setdefault(id(source), []).append(node.operation)
    for tensor in inner.outputs:
        source, *_ = history(tensor)
        behind.setdefault(id(source), []).append(head)
    return {
        source: followers
        for source, followers in behind.items()
        if all(uses.get(id(f), 1) == 1 for f in followers)
        and uses.get(source, 1) == 1
    }


class Values:
    """The arrays that a network computes with, by variable."""

    def __init__(self, variables: list[keras.Variable], arrays: list):
        self._arrays = {
            id(v): np.array(array) for v, array in zip(variables, arrays)
        }

    def __getitem__(self, variable: keras.Variable) -> np.ndarray:
        return self._arrays[id(variable)]

    def __setitem__(self, variable: keras.Variable, array: np.ndarray):
        self._arrays[id(variable)] = array

    def __contains__(self, variable: keras.Variable) -> bool:
        return id(variable) in self._arrays

    def mapping(self, layer: keras.layers.Layer) -> list:
        return [(v, self[v]) for v in layer.weights]


def outgoing(link: Link, values: Values) -> np.ndarray:
    """Returns a view of the weights that lead out of a link's units.

    Its axes are `(positions, units, outputs)`. Positions are those that are
    flattened before a Dense layer, or those of a convolution's window.
    """
    kernel = values[link.consumer.kernel]
    units = values[link.producer.kernel].shape[-1]
    return kernel.reshape(-1, units, kernel.shape[-1])
