"""Consolidated tasks to read: their values beside the trained variables."""

import contextlib
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.layers import (
    Heads,
    computing_with,
    computing_with_own_values,
)
from tsn_keras.tasks.train_function import make_step_function

# What the views that are kept may take in memory. The last one is always kept.
MOST_BYTES = 1 << 28


@dataclasses.dataclass(frozen=True)
class View:
    """The values of one consolidated task, which nothing can change.

    Args:
        values: A tensor for each of them. For a kernel it is the effective
            value.
    """

    head: int
    variables: tuple[keras.Variable, ...]
    values: tuple[tf.Tensor, ...]

    @classmethod
    def of(
        cls, head: int, variables: Iterable[keras.Variable], values: Iterable
    ) -> "View":
        """Returns a view of arrays or tensors."""
        return cls(
            head, tuple(variables), tuple(map(tf.convert_to_tensor, values))
        )

    @property
    def num_bytes(self) -> int:
        return sum(
            value.shape.num_elements() * value.dtype.size
            for value in self.values
        )


@contextlib.contextmanager
def computing_as(
    heads: Heads,
    head: int,
    view: View | None,
    values: Iterable | None = None,
) -> Iterator[None]:
    """Computes as a task in this thread.

    Args:
        head: Index of its head.
        view: The task; `None` for what the variables hold.
        values: Tensors that stand for the view's values while a function is
            traced for all tasks of its head.
    """
    if view is None:
        with heads.reading(head), computing_with_own_values():
            yield
        return
    pairs = zip(view.variables, values or view.values, strict=True)
    with heads.reading(head), computing_with(pairs):
        yield


class ViewCache:
    """Views, made when they are needed, of which the latest are kept.

    Args:
        make: Function of a task's name.
        making: Is held while a view is made, which may build a head.
    """

    def __init__(
        self,
        make: Callable[[str], View],
        making: contextlib.AbstractContextManager,
    ):
        self._make = make
        self._making = making
        self._views: OrderedDict[str, View] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, task: str) -> View:
        """Returns the view of a task."""
        view = self._find(task)
        if view is None:
            with self._making:
                view = self._find(task) or self._kept(task, self._make(task))
        return view

    def _find(self, task: str) -> View | None:
        with self._lock:
            if task in self._views:
                self._views.move_to_end(task)
            return self._views.get(task)

    def _kept(self, task: str, view: View) -> View:
        with self._lock:
            self._views[task] = view
            kept = sum(view.num_bytes for view in self._views.values())
            while kept > MOST_BYTES and len(self._views) > 1:
                _, dropped = self._views.popitem(last=False)
                kept -= dropped.num_bytes
            return view

    def clear(self) -> None:
        """Forgets all views, that one, too, which is in the making."""
        with self._making, self._lock:
            self._views.clear()


class ReadFunctions:
    """The functions that evaluate and predict as the tasks of one head.

    Their steps get a view's values with every batch. So one trace serves all
    tasks of the head, in any thread.

    Args:
        view: One of these tasks; `None` for functions that read variables.
        head: Index of the head.
        tracing: Is held while a function may be traced.
        counting: Returns a context in which a step counts with the losses and
            metrics that the functions are for.
    """

    def __init__(
        self,
        model: keras.Model,
        view: View | None,
        head: int,
        tracing: contextlib.AbstractContextManager,
        counting: Callable[[], contextlib.AbstractContextManager],
    ):
        self._model = model
        self._view = view
        self._head = head
        self._tracing = tracing
        self._counting = counting
        self._test: dict[str, Callable] = {}
        self._predict: Callable | None = None
        self._call: Callable | None = None

    def test_function(self, view: View | None) -> Callable:
        """Returns a `test_function` of Keras' that reads a view."""
        model, values = self._model, view.values if view else ()

        def function(iterator: Any) -> Any:
            spec = repr(getattr(iterator, "element_spec", None))
            if spec not in self._test:
                with self._tracing:
                    self._test[spec] = make_step_function(
                        model, self._reading(model.test_step), self._tracing
                    )
            constants = (values,) if self._view else ()
            return self._test[spec](iterator, *constants)

        return function

    def predict_function(self, view: View | None) -> Callable:
        """Returns a `predict_function` of Keras' that reads a view."""
        with self._tracing:
            if self._predict is None:
                step = self._reading(self._model.predict_step)
                predict = keras_internals.predict_function(
                    self._model, lambda data: step(*data)
                )
                self._predict = _with_kept_trace(predict, self._tracing)
        predict, values = self._predict, view.values if view else ()

        def function(data: list) -> Any:
            return predict([(_tensors(batch), values) for batch in data])

        return function

    def call_function(self, view: View) -> Callable:
        """Returns a function of one batch that computes a view's outputs."""
        model = self._model

        def compute(data):
            ((batch, values),) = data
            step = self._reading(lambda x: model(x, training=False))
            return step(batch, values)

        with self._tracing:
            if self._call is None:
                if not model.run_eagerly:
                    compute = tf.function(compute, reduce_retracing=True)
                self._call = _with_kept_trace(compute, self._tracing)
        call, values = self._call, view.values
        return lambda batch: call([(batch, values)])

    def _reading(self, step: Callable) -> Callable:
        def read(batch, values=()):
            heads = self._model.heads
            computing = computing_as(heads, self._head, self._view, values)
            with self._counting(), computing:
                outputs = step(batch)
            if self._view is not None:
                self._check_no_variable_was_read()
            return outputs

        return read

    def _check_no_variable_was_read(self) -> None:
        """Refuses a step that reads variables, which hold another task."""
        if tf.executing_eagerly():
            return
        captured = tf.compat.v1.get_default_graph().external_captures
        captured = set(map(id, captured))
        strategy = tf.distribute.get_strategy()
        for variable in self._view.variables:
            held = strategy.experimental_local_results(
                keras_internals.raw_value(variable)
            )
            if any(id(one.handle) in captured for one in held):
                raise ValueError(
                    f"A step of '{self._model.name}' reads the value of "
                    f"'{variable.path}' past Keras, and would compute with "
                    "another task's. Let it call layers, or read the variable "
                    "itself."
                )


def _tensors(batch: Any) -> Any:
    """Returns a batch with tensors for arrays, which have no kept trace."""
    return tree.map_structure(
        lambda part: (
            tf.convert_to_tensor(part) if isinstance(part, np.ndarray) else part
        ),
        batch,
    )


def _with_kept_trace(
    function: Callable, tracing: contextlib.AbstractContextManager
) -> Callable:
    """Returns a function that keeps a trace for its first kind of data.

    TensorFlow looks for a trace by the types of all arguments in each call,
    which is felt where they are many or the network is small. A second trace
    is kept for batches of any size, once another size comes.

    Args:
        function: Of a nest of tensors, traced or run eagerly.
        tracing: Is held while the function may be traced.
    """
    # The kind of data and its trace.
    exact, of_any_size = (None, None), (None, None)
    known = set()

    def kept(found: Any) -> Callable | None:
        if found is None or found == exact[0]:
            return found and exact[1]
        if of_any_size[1] and _of_any_size(found) == of_any_size[0]:
            return of_any_size[1]
        return None

    def call(data: Any) -> Any:
        nonlocal exact, of_any_size
        found = _kind_of(data)
        if trace := kept(found):
            return trace(data)
        if repr(found) in known:
            return function(data)
        with tracing:
            can_keep = found and hasattr(function, "get_concrete_function")
            can_keep = can_keep and not tf.config.functions_run_eagerly()
            # Another thread may have made it meanwhile.
            if can_keep and not kept(found):
                kind = _of_any_size(found)
                if exact[1] is None:
                    exact = found, function.get_concrete_function(data)
                elif not of_any_size[1] and kind == _of_any_size(exact[0]):
                    specs = [*zip(kind, (values for _, values in data))]
                    of_any_size = kind, function.get_concrete_function(specs)
            if trace := kept(found):
                return trace(data)
            outputs = function(data)
            if can_keep:
                known.add(repr(found))
            return outputs

    return call


def _kind_of(data: Any) -> Any:
    """Returns the batches' shapes and types; `None` for odd ones."""
    given = [batch for batch, _ in data]
    if not all(isinstance(part, tf.Tensor) for part in tree.flatten(given)):
        return None
    return tree.map_structure(lambda p: tf.TensorSpec(p.shape, p.dtype), given)


def _of_any_size(kind: Any) -> Any:
    """Returns a kind of batches without their size."""
    return tree.map_structure(
        lambda p: tf.TensorSpec([None, *p.shape[1:]], p.dtype), kind
    )
