"""The heads of all tasks, of which one is at work."""

import contextlib
import contextvars
import json
import re
from collections.abc import Iterator
from typing import Any

import keras
from keras import tree

from tsn_keras.keras_internals import holds_layers
from tsn_keras.layers.given_values import call_given


class _Shelf:
    """Hides layers from Keras' automatic tracking."""

    def __init__(self):
        self.layers: list[keras.layers.Layer] = []
        # The index of each layer, by its signature when it was added.
        self.indices: dict[str, int] = {}


def signature(thing: Any) -> str:
    """Returns a text that is equal for layers that can be one layer.

    Args:
        thing: A layer, or anything else that Keras serializes.
    """
    config = keras.saving.serialize_keras_object(thing)
    return json.dumps(_without_names(config, {}), sort_keys=True)


def _without_names(config: Any, numbers: dict[str, int]) -> Any:
    """Drops the names of layers, and what building adds.

    Keras numbers the names by itself. Where a functional model says which
    output goes where, the `numbers` of its layers take their place. Names that
    a user gave to its inputs and outputs stay: labels may be given by them.
    Other things keep their names: that of a dtype policy says all about it.
    """
    if isinstance(config, dict):
        dropped = {"build_config", "build_input_shape", "compile_config"}
        if "layers" in config:
            numbers = {}
        if "inbound_nodes" in config:
            numbers[config["name"]] = len(numbers)
            # A node's layer may be an operation, which has only a name.
            config = {**config, "config": _without_name(config["config"])}
        if "inbound_nodes" in config or "trainable" in config:
            dropped.add("name")
        config = {k: v for k, v in config.items() if k not in dropped}
        if "input_layers" in config:
            config["given_names"] = _given_names(config)
        elif "layers" in config:
            config["layers"] = _without_inputs(config)
        return {k: _without_names(v, numbers) for k, v in config.items()}
    if not isinstance(config, (list, tuple)):
        return config
    if [type(entry) for entry in config] == [str, int, int]:
        # A layer's name, the index of its call and the index of an output.
        name, *indices = config
        return [numbers.get(name, name), *indices]
    return [_without_names(value, numbers) for value in config]


def _without_name(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    return {key: value for key, value in config.items() if key != "name"}


def _given_names(config: dict[str, Any]) -> list[str | None]:
    """Returns the names of a functional model's inputs and outputs.

    Those that Keras gave are `None`.
    """
    classes = {layer["name"]: layer["class_name"] for layer in config["layers"]}
    ends = tree.flatten([config["input_layers"], config["output_layers"]])
    names = [entry for entry in ends if isinstance(entry, str)]
    given = {n: re.escape(_snake(classes[n])) for n in names}
    return [
        None if re.fullmatch(rf"{given[n]}(_\d+)?", n) else n for n in names
    ]


def _snake(class_name: str) -> str:
    """Returns how Keras begins the names of layers of a class."""
    words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def _without_inputs(config: dict[str, Any]) -> list:
    """Returns the layers of a `Sequential` without the input that it adds.

    Built, it has one for what its policy computes in. Another type counts.
    """
    policy = keras.saving.deserialize_keras_object(config.get("dtype"))
    usual = keras.dtype_policies.get(policy).compute_dtype
    return [x for x in config["layers"] if not _is_input(x, usual)]


def _is_input(config: Any, dtype: str) -> bool:
    if not isinstance(config, dict):
        return False
    is_input = config.get("class_name") == "InputLayer"
    return is_input and config["config"]["dtype"] == dtype


def _selected_layers(heads: "Heads") -> list[keras.layers.Layer]:
    return [] if heads.selected is None else [heads.head]


@keras.saving.register_keras_serializable(package="tsn_keras")
@holds_layers(_selected_layers)
class Heads(keras.layers.Layer):
    """Applies the selected one of several heads.

    Tasks whose heads have equal configurations use one layer. Its weights are
    private variables and change with the task, so a function that was traced
    for one of these tasks serves all. Only the selected head is tracked: the
    optimizer never sees the weights of the others.

    Args:
        heads: one layer for each configuration.
        **kwargs: base layer keyword arguments.
    """

    def __init__(self, heads=(), **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self._shelf = _Shelf()
        self._selected: int | None = None
        # The head that a thread reads, if it is another one.
        self._read = contextvars.ContextVar("read_head", default=None)
        if not isinstance(heads, (list, tuple)):
            raise TypeError(
                f"`heads` must be a list of layers. Received: heads={heads!r}"
            )
        for head in heads:
            self.add(head)

    def add(self, head: keras.layers.Layer) -> int:
        """Returns the index of a head, which is added if it is a new one.

        Heads of one configuration have one index.
        """
        if not isinstance(head, keras.layers.Layer):
            raise TypeError(
                f"`head` must be a keras.layers.Layer. Received: {head!r}"
            )
        shelf, found = self._shelf, signature(head)
        if found not in shelf.indices:
            shelf.indices[found] = len(shelf.layers)
            shelf.layers.append(head)
        return shelf.indices[found]

    def select(self, index: int) -> None:
        """Makes the head of an index the one that is called."""
        if index not in range(self.count):
            raise ValueError(
                f"`index` must be the number of one of {self.count} heads. "
                f"Received: index={index!r}"
            )
        self._selected = index

    @contextlib.contextmanager
    def reading(self, index: int | None) -> Iterator[None]:
        """Makes this thread call the head of an index, in the context.

        `None` is the head that was selected for all threads.
        """
        token = self._read.set(index)
        try:
            yield
        finally:
            self._read.reset(token)

    @property
    def selected(self) -> int | None:
        """The index of the head that this thread calls."""
        read = self._read.get()
        return self._selected if read is None else read

    @property
    def count(self) -> int:
        """The number of heads of different configurations."""
        return len(self._shelf.layers)

    @property
    def head(self) -> keras.layers.Layer:
        """The selected head."""
        if self.selected is None:
            raise ValueError(
                f"None of {self.count} heads is selected. Call `select` first."
            )
        return self._shelf.layers[self.selected]

    def output_names(self, index: int) -> list[str] | None:
        """Returns the names of a functional head's outputs, if in a list.

        Losses, metrics and labels given by name are put in their order.
        """
        head = self._shelf.layers[index]
        names = getattr(head, "output_names", None)
        in_list = names and isinstance(head.output, (list, tuple))
        return names if in_list else None

    def call(self, inputs, *args, **kwargs):
        return call_given(self.head, inputs, *args, **kwargs)

    def compute_mask(self, inputs, previous_mask):
        # A head that supports masks has put them on its outputs.
        return None

    def compute_output_shape(self, input_shape):
        return self.head.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        heads = [
            keras.saving.serialize_keras_object(head)
            for head in self._shelf.layers
        ]
        return {**super().get_config(), "heads": heads}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        heads = [
            keras.saving.deserialize_keras_object(head, custom_objects)
            for head in config["heads"]
        ]
        return cls(**{**config, "heads": heads})
