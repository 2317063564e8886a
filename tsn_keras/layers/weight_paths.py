"""Names of weights that stay the same when a model is loaded."""

import re
from collections import Counter
from typing import Any

import keras

from tsn_keras.keras_internals import (
    check_layer,
    direct_layers,
    keeps_layer_names,
    own_variables,
)

# Where Keras and TensorFlow keep layers, besides the author's attributes.
KEPT_BY_KERAS = (
    "_functional",
    "_layers",
    "_operations",
    "_self_unconditional",
    "_tracker",
)


def weight_paths(
    layer: keras.layers.Layer,
    transparent: type | tuple[type, ...] = (),
) -> dict[int, str]:
    """Returns the paths of all weights of a built layer by their id.

    A path consists of the names of the layers around a weight, outermost
    first, and the weight's own name. Sequential and functional models keep the
    names of their layers in their configuration. Subclassed layers make their
    inner layers again when they are loaded, and Keras numbers those without a
    name by how many there were before. Such a layer goes by the attribute that
    holds it, with its index or key in a list or dict:
    `self.blocks = [Dense(4)]` gives `blocks_0`.

    Args:
        layer: the outermost layer.
        transparent: classes of wrappers. Their `layer` goes by their name.
    """
    check_layer(layer)
    paths: dict[int, str] = {}

    def visit(one, prefix, from_config):
        while isinstance(one, transparent):
            one = one.layer
        from_config = from_config and keeps_layer_names(one)
        for weight in own_variables(one):
            paths.setdefault(id(weight), prefix + weight.name)
        attributes = {} if from_config else _attributes(one)
        seen = Counter()
        for inner in direct_layers(one):
            name = inner.name
            if not from_config and _is_automatic(inner, one):
                name = attributes.get(id(inner), _without_number(name))
            suffix = f"_{seen[name]}" if seen[name] else ""
            seen[name] += 1
            visit(inner, f"{prefix}{name}{suffix}/", from_config)

    root = layer.layer if isinstance(layer, transparent) else layer
    automatic = _is_automatic(root, None)
    name = _without_number(root.name) if automatic else root.name
    visit(layer, f"{name}/", True)
    return paths


def _without_number(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _is_automatic(
    layer: keras.layers.Layer, parent: keras.layers.Layer | None
) -> bool:
    """Tells whether Keras may have chosen a layer's name."""
    name = _without_number(layer.name).replace("_", "").lower()
    own = type(layer).__name__.replace("_", "").lower()
    if type(parent).__module__.startswith("keras."):
        # Bidirectional makes `forward_lstm_3` of the name `lstm_3`.
        return name.endswith(own)
    return name == own


def _attributes(parent: keras.layers.Layer) -> dict[int, str]:
    """Returns the names of the attributes that hold layers, by layer id."""
    found: dict[int, str] = {}

    def visit(value: Any, name: str) -> None:
        if isinstance(value, keras.layers.Layer):
            found.setdefault(id(value), name)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                visit(item, f"{name}_{index}")
        elif isinstance(value, dict):
            for key, item in value.items():
                visit(item, f"{name}_{key}")

    for name, value in vars(parent).items():
        if not name.startswith(KEPT_BY_KERAS):
            visit(value, name.lstrip("_"))
    return found
