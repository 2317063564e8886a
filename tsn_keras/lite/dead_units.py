"""Finds units that no longer matter, and frees the network of them.

A unit of a Dense or convolution layer is dead if all weights that lead out of
it are zero, or all that lead into it. In the second case it is constant, and
what it adds goes into the bias of the layer behind it.
"""

import dataclasses

import keras
import numpy as np

from tsn_keras.layers import Subnetwork

layers = keras.layers
PRODUCERS = (layers.Dense, layers.Conv1D, layers.Conv2D)
# Layers that treat every channel for itself.
CHANNELWISE = (
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Dropout,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.Flatten,
)
ELEMENTWISE = frozenset(
    ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu")
    + ("sigmoid", "hard_sigmoid", "hard_silu", "tanh", "softplus", "mish")
    + ("softsign", "exponential")
)


def unwrapped(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Returns the layer within a `Subnetwork`, or the layer itself."""
    return layer.layer if isinstance(layer, Subnetwork) else layer


def _is_elementwise(layer) -> bool:
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", None)
    return activation is None or name in ELEMENTWISE


def is_producer(layer: keras.layers.Layer) -> bool:
    """Tells whether units of a layer can be taken away."""
    return (
        type(layer) in PRODUCERS
        and _is_elementwise(layer)
        and _is_consumer(layer)
    )


def _is_consumer(layer) -> bool:
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return (
        type(layer) in PRODUCERS and last and getattr(layer, "groups", 1) == 1
    )


def _is_channelwise(layer) -> bool:
    if getattr(layer, "data_format", None) == "channels_first":
        return False
    if type(layer) is layers.BatchNormalization:
        return layer.axis == -1
    if type(layer) is layers.DepthwiseConv2D:
        return layer.depth_multiplier == 1 and _is_elementwise(layer)
    if type(layer) is layers.Activation:
        return _is_elementwise(layer)
    return type(layer) in CHANNELWISE


@dataclasses.dataclass(frozen=True)
class Link:
    """A layer with units, the layer that uses them, and what is between.

    Args:
        producer: Dense or convolution layer.
        between: tuple of layers that treat each channel for itself.
        consumer: Dense or convolution layer.
    """

    producer: keras.layers.Layer
    between: tuple
    consumer: keras.layers.Layer


def find_links(inner: keras.Model, head: keras.layers.Layer) -> list[Link]:
    """Returns the links of a model and its head, first to last.

    Where a layer is used twice, or what it computes goes two ways, there is
    no link.

    Args:
        inner: Sequential or functional model.
        head: `keras.layers.Layer` that takes the model's output.
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
            links.append(
                Link(producer, tuple(between), unwrapped(following))
            )
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
    # The nodes that a model is made of have no public name.
    for node in (n for nodes in inner._nodes_by_depth.values() for n in nodes):
        uses[id(node.operation)] = uses.get(id(node.operation), 0) + 1
        for tensor in node.input_tensors:
            source = tensor._keras_history.operation
            behind.setdefault(id(source), []).append(node.operation)
    for tensor in inner.outputs:
        source = tensor._keras_history.operation
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

    Returns:
        array `(positions, units, outputs)`: positions are those that are
        flattened before a Dense layer, or those of a convolution's window.
    """
    kernel = values[link.consumer.kernel]
    units = values[link.producer.kernel].shape[-1]
    return kernel.reshape(-1, units, kernel.shape[-1])


def settle(links: list[Link], values: Values) -> list[np.ndarray]:
    """Makes dead units dead on both sides, until no more die.

    Args:
        links: list of `Link`.
        values: `Values`, changed in place; the network computes the same.

    Returns:
        list of int arrays, the units to keep of each link.
    """
    changed = True
    while changed:
        changed = False
        for link in links:
            kernel = values[link.producer.kernel]
            incoming = kernel.reshape(-1, kernel.shape[-1]).any(axis=0)
            out = outgoing(link, values)
            constant = ~incoming & out.any(axis=(0, 2))
            if constant.any():
                changed |= _fold(link, values, constant)
            unused = ~out.any(axis=(0, 2))
            changed |= bool((incoming & unused).any())
            kernel[..., unused] = 0
    return [_kept_units(link, values) for link in links]


def _kept_units(link: Link, values: Values) -> np.ndarray:
    kept = np.flatnonzero(outgoing(link, values).any(axis=(0, 2)))
    # A layer cannot be without units.
    return kept if kept.size else np.zeros(1, np.int64)


def _fold(link: Link, values: Values, units: np.ndarray) -> bool:
    """Moves what constant units add into the bias behind them."""
    constants = _constant_outputs(link, values)
    if constants is None:
        return False
    out = outgoing(link, values)
    is_dense = isinstance(link.consumer, layers.Dense)
    if not is_dense or len(constants) != len(out):
        units = units & (constants == constants[:1]).all(axis=0)
        constants = np.repeat(constants[:1], len(out), axis=0)
    zero = (constants == 0).all(axis=0)
    # Beyond the border there are zeros, not the constant.
    padded = not is_dense and link.consumer.padding != "valid"
    if padded or not link.consumer.use_bias:
        units = units & zero
    if (units & ~zero).any():
        added = np.einsum("pu,puo->o", constants[:, units], out[:, units])
        values[link.consumer.bias][...] += added
    out[:, units] = 0
    return bool(units.any())


def _constant_outputs(link: Link, values: Values) -> np.ndarray | None:
    """Returns what units without weights into them put out.

    Returns:
        array `(positions, units)`, or `None` if the positions are not known.
    """
    producer = link.producer
    try:
        shape = (1, *producer.output.shape[1:])
    except (AttributeError, ValueError):
        # Used in another model too, in another shape perhaps.
        return None
    if None in shape:
        return None
    x = np.zeros(shape, np.float32)
    if producer.use_bias:
        x = x + values[producer.bias]
    x = producer.activation(keras.ops.convert_to_tensor(x))
    mapping = [pair for layer in link.between for pair in values.mapping(layer)]
    with keras.StatelessScope(state_mapping=mapping):
        for layer in link.between:
            x = layer(x)
    units = values[producer.kernel].shape[-1]
    return np.asarray(x).reshape(-1, units)
