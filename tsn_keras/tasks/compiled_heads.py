"""What Keras compiled and traced, for each head of its own."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.layers import Heads
from tsn_keras.tasks.view import ReadFunctions, View

# Arguments of `compile` that depend on a head's outputs.
_FOR_OUTPUTS = (("loss", "loss_weights"), ("metrics", "weighted_metrics"))


class PerHead:
    """An attribute of a model that each of its heads has for itself.

    Keras sets and reads it as if it were the model's own.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: keras.Model | None, owner: type) -> Any:
        if model is None:
            return self
        return model.compiled_heads.get(self._name)

    def __set__(self, model: keras.Model, value: Any) -> None:
        model.compiled_heads.set(self._name, value)


class CompiledHeads:
    """What Keras compiled and traced, for each head of its own.

    Traced functions and the optimizer belong to one head. Losses and metrics
    belong to a kind of outputs: Keras builds them once, for the outputs that
    it sees first. `F1Score` then counts as many classes as they have, and a
    loss for each of two outputs takes no single one. Heads whose outputs have
    one shape share them, as a user expects who holds a metric.

    Args:
        heads: Of the model. What is at work is that of the selected one.
    """

    def __init__(self, heads: Heads):
        self._heads = heads
        self._parts: dict[int | None, dict[str, Any]] = {}
        # Losses and metrics by the kind of outputs. Those that were compiled
        # last are under `None` until the kind of their head is known.
        self._by_kind: dict[str | None, dict[str, Any]] = {None: {}}
        self._kinds: dict[int | None, str] = {}
        self._arguments: list[tuple] = []
        self._optimizer: Any = None
        # The model and the view that a thread reads, if it reads one.
        self._read: contextvars.ContextVar[tuple[keras.Model, View] | None] = (
            contextvars.ContextVar("read_view", default=None)
        )

    def get(self, name: str) -> Any:
        """Returns what the selected head has."""
        read = self._read.get()
        if read is not None and name in ("test_function", "predict_function"):
            functions = self.kept("read", lambda: ReadFunctions(*read))
            return getattr(functions, name)(read[1])
        if name in keras_internals.COMPILED_FOR_OUTPUTS:
            return self._compiled().get(name)
        if name == "optimizer":
            return self._part().get(name, self._optimizer)
        return self._part().get(name)

    def set(self, name: str, value: Any) -> None:
        """Sets what the selected head has."""
        if name in keras_internals.COMPILED_FOR_OUTPUTS:
            self._compiled()[name] = value
            return
        if name == "optimizer":
            self._optimizer = value
        self._part()[name] = value

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """Returns what the selected head has, made when it is first needed."""
        part = self._part()
        if part.get(name) is None:
            part[name] = make()
        return part[name]

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of all heads."""
        found = [part.get("optimizer") for part in self._parts.values()]
        return [one for one in (self._optimizer, *found) if one is not None]

    def start_anew(self, arguments: dict[str, Any]) -> None:
        """Notes that the model was compiled anew, with the selected head.

        Args:
            arguments: Of `keras.Model.compile`.
        """
        self._arguments = [
            tuple(arguments.get(name) for name in names)
            for names in _FOR_OUTPUTS
        ]
        self._by_kind = {None: self._compiled()}
        self._parts.clear()
        self._assign_kind()

    def select(self, index: int, features: Any) -> None:
        """Selects a head, with all that is compiled for it.

        Args:
            index: Of the head.
            features: What the backbone returns, `None` if it is not known.
        """
        self._learn_kind(features)
        self._part()["optimizer"] = self._optimizer
        self._heads.select(index)
        self._learn_kind(features)
        self._optimizer = self._part().get("optimizer", self._optimizer)

    @contextlib.contextmanager
    def reading(self, model: keras.Model, view: View | None) -> Iterator[None]:
        """Lets Keras evaluate and predict as a view in this thread.

        `None` is what the variables hold.
        """
        self._learn_kind(model.switch.features)
        token = self._read.set(view and (model, view))
        try:
            yield
        finally:
            self._read.reset(token)

    def _part(self) -> dict[str, Any]:
        return self._parts.setdefault(self._heads.selected, {})

    def _compiled(self) -> dict[str, Any]:
        """Returns losses and metrics for the selected head."""
        kind = self._kinds.get(self._heads.selected)
        if kind in self._by_kind:
            return self._by_kind[kind]
        # The head did not fit, was refused, and has computed nothing.
        return next(iter(self._by_kind.values()))

    def _learn_kind(self, features: Any) -> None:
        """Builds the selected head, and finds out what its outputs are."""
        index = self._heads.selected
        if index is None or features is None:
            return
        head = self._heads.head
        if not head.built:
            head(features)
        if index not in self._kinds:
            try:
                outputs = head(features)
            except (TypeError, ValueError):
                return
            names = self._heads.output_names(index)
            shapes = tree.map_structure(lambda part: part.shape, outputs)
            self._kinds[index] = f"{shapes} {names or ''}"
        self._assign_kind()

    def _assign_kind(self) -> None:
        """Gives the selected head's outputs losses and metrics of their own."""
        index = self._heads.selected
        kind = self._kinds.get(index)
        if kind is None or kind in self._by_kind:
            return
        if None in self._by_kind:
            compiled = self._by_kind.pop(None)
        else:
            compiled = self._fresh()
        names = self._heads.output_names(index)
        keras_internals.name_outputs(compiled, names)
        self._by_kind[kind] = compiled

    def _fresh(self) -> dict[str, Any]:
        if not self._arguments:
            # The model is not compiled.
            return {}
        loss, metrics = self._arguments
        metrics = tree.map_structure(_fresh_metric, metrics)
        like = next(iter(self._by_kind.values()))
        return keras_internals.compile_outputs(like, loss, metrics)


def _fresh_metric(metric: Any) -> Any:
    """Returns a metric of the same configuration that has counted nothing."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except TypeError:
        # A user's own without configuration. It counts for all heads.
        return metric
