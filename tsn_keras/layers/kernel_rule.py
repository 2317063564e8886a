"""Which weights of a layer are kernels."""

from collections.abc import Callable
from typing import Any

import keras

from tsn_keras.keras_internals import check_layer, flatten_layers
from tsn_keras.layers.weight_paths import weight_paths
from tsn_keras.names import check_pattern, matches

CLASSES_KEY = "layer_classes"

Kernels = (
    str
    | type[keras.layers.Layer]
    | tuple[type[keras.layers.Layer], ...]
    | Callable[[keras.Variable], bool]
    | None
)


def _is_maskable(variable: keras.Variable) -> bool:
    floating = keras.backend.is_float_dtype(variable.dtype)
    return floating and variable.trainable and variable.ndim >= 2


def is_named_as_kernel(variable: keras.Variable) -> bool:
    """Tells whether a weight has a kernel's name, whatever its type."""
    return variable.name == "embeddings" or variable.name.endswith("kernel")


class KernelRule:
    """Finds the kernels of a layer, that is, its maskable weights.

    Under every rule a kernel is a trainable float weight of two or more axes.
    All other weights are private variables of each task. If they are frozen,
    they belong to the dense base that all tasks share.

    Args:
        kernels: which of these weights are kernels:
            - `None`: those whose name is `embeddings` or ends in `kernel`,
              such as `recurrent_kernel`.
            - str: those in whose path (see `weight_paths`) a regular expression
              is found.
            - layer class or tuple of them: all in layers of these classes.
            - function of a `keras.Variable`: those it returns `True` for.

    Raises:
        TypeError: If `kernels` is none of these.
        ValueError: If it is not a regular expression, or an empty tuple.

    Example:

    >>> first, second = keras.layers.Dense(4, name="a"), keras.layers.Dense(2)
    >>> network = keras.Sequential([keras.Input((3,)), first, second], name="n")
    >>> [kernel.path for kernel in KernelRule("/a/").find(network)]
    ['n/a/kernel']
    """

    def __init__(self, kernels: Kernels = None):
        self.config = _normalized(kernels)

    def find(self, layer: keras.layers.Layer) -> list[keras.Variable]:
        """Returns the kernels of a built layer, in the order of its weights."""
        check_layer(layer)
        chosen = self._chosen(layer)
        weights = layer.trainable_weights
        return [w for w in weights if _is_maskable(w) and chosen(w)]

    def _chosen(self, layer) -> Callable[[keras.Variable], bool]:
        if self.config is None:
            return is_named_as_kernel
        if isinstance(self.config, str):
            paths = weight_paths(layer)
            return lambda w: matches(self.config, paths[id(w)], "kernels")
        if isinstance(self.config, dict):
            names = set(self.config[CLASSES_KEY])
            registered = keras.saving.get_registered_name
            inside = {
                id(weight)
                for one in flatten_layers(layer)
                if names.intersection(map(registered, type(one).__mro__))
                for weight in one.weights
            }
            return lambda weight: id(weight) in inside
        return self.config


def _normalized(kernels: Any) -> Any:
    """Returns a rule in the form that layers keep in their config.

    Classes are kept by name, so that loading needs no import of them.
    """
    if isinstance(kernels, dict):
        if list(kernels) == [CLASSES_KEY]:
            return kernels
        kernels = keras.saving.deserialize_keras_object(kernels)
    if isinstance(kernels, str):
        check_pattern(kernels, "kernels")
        return kernels
    classes = (kernels,) if isinstance(kernels, type) else kernels
    if isinstance(classes, (tuple, list)):
        return {CLASSES_KEY: _names_of(classes)}
    is_layer = isinstance(kernels, keras.layers.Layer)
    if kernels is None or (callable(kernels) and not is_layer):
        return kernels
    raise TypeError(
        "`kernels` must be None, a regular expression, a layer class or tuple "
        f"of them, or a function of a variable. Received: {kernels!r}"
    )


def _names_of(classes: tuple | list) -> list[str]:
    if not classes:
        raise ValueError(
            "`kernels` is empty. Give at least one layer class, or None for "
            "all kernels."
        )
    for one in classes:
        is_class = isinstance(one, type)
        if not is_class or not issubclass(one, keras.layers.Layer):
            raise TypeError(
                "`kernels` must hold classes of layers, such as "
                f"keras.layers.Dense. Received: {one!r}"
            )
    return [keras.saving.get_registered_name(one) for one in classes]
