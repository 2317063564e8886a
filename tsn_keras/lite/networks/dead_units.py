"""Finds units that no longer matter, and frees the network of them.

A unit of a Dense or convolution layer is dead if all weights that lead out of
it are zero, or all that lead into it. In the second case it is constant, and
what it adds goes into the bias of the layer behind it.
"""

import keras
import numpy as np

from tsn_keras.lite.networks.links import Link, Values, outgoing

layers = keras.layers


def settle(links: list[Link], values: Values) -> list[np.ndarray]:
    """Makes dead units dead on both sides, until no more die.

    Values are changed in place, and the network computes the same. Returns
    the units to keep of each link.
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
    """Returns `(positions, units)`, what units put out without inputs.

    `None` if that is not known.
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
