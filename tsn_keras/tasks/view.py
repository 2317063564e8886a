"""Consolidated tasks to read: their values beside the trained variables."""

import contextlib
import dataclasses
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.layers import (
    Heads,
    computing_with,
    computing_with_own_values,
)

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
    heads: Heads, view: View | None, values: Iterable | None = None
) -> Iterator[None]:
    """Computes as a view in this thread.

    Args:
        view: The task; `None` for what the variables hold.
        values: Tensors that stand for the view's values while a function is
            traced for all tasks of its head.
    """
    if view is None:
        with heads.reading(None), computing_with_own_values():
            yield
        return
    pairs = zip(view.variables, values or view.values, strict=True)
    with heads.reading(view.head), computing_with(pairs):
        yield


class ViewCache:
    """Views, made when they are needed, of which the latest are kept."""

    def __init__(self, make: Callable[[str], View]):
        self._make = make
        self._views: OrderedDict[str, View] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, task: str) -> View:
        """Returns the view of a task."""
        with self._lock:
            if task in self._views:
                self._views.move_to_end(task)
                return self._views[task]
            view = self._views[task] = self._make(task)
            kept = sum(view.num_bytes for view in self._views.values())
            while kept > MOST_BYTES and len(self._views) > 1:
                _, dropped = self._views.popitem(last=False)
                kept -= dropped.num_bytes
            return view

    def clear(self) -> None:
        """Forgets all views."""
        with self._lock:
            self._views.clear()


class ReadFunctions:
    """The functions that evaluate and predict as the tasks of one head.

    Keras makes them, of steps that get a view's values with every batch. So
    one trace serves all tasks of the head, in any thread.
    """

    def __init__(self, model: keras.Model, view: View):
        self._model = model
        self._view = view
        self._test: Callable | None = None
        self._predict: Callable | None = None

    def test_function(self, view: View) -> Callable:
        """Returns a `test_function` of Keras' that reads a view."""
        model = self._model
        if self._test is None:
            step = self._reading(model.test_step)
            self._test = keras_internals.multi_step_function(model, step)
        test = self._test

        def function(iterator: Any) -> Any:
            steps = model.steps_per_execution
            batches = list(itertools.islice(iterator, steps))
            if not batches:
                raise StopIteration
            return test((batch, view.values) for batch in batches)

        return function

    def predict_function(self, view: View) -> Callable:
        """Returns a `predict_function` of Keras' that reads a view."""
        if self._predict is None:
            step = self._reading(self._model.predict_step)
            predict = keras_internals.predict_function(self._model, step)
            self._predict = _with_kept_trace(predict)
        predict = self._predict

        def function(data: list) -> Any:
            return predict([(batch, view.values) for batch in data])

        return function

    def _reading(self, step: Callable) -> Callable:
        def read(data):
            batch, values = data
            with computing_as(self._model.heads, self._view, values):
                outputs = step(batch)
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


def _with_kept_trace(function: Callable) -> Callable:
    """Returns a function that keeps the trace for its first kind of data.

    TensorFlow looks for a trace by the types of all arguments in each call,
    which is felt where they are many or the network is small.

    Args:
        function: Of a nest of tensors, traced or run eagerly.
    """
    if not hasattr(function, "get_concrete_function"):
        return function
    trace, kind = None, None

    def call(data: Any) -> Any:
        nonlocal trace, kind
        found = _kind_of(data)
        if found is None or tf.config.functions_run_eagerly():
            return function(data)
        if trace is None:
            trace, kind = function.get_concrete_function(data), found
        return (trace if found == kind else function)(data)

    return call


def _kind_of(data: Any) -> Any:
    """Returns the batches' structure, shapes and types; `None` for odd ones."""
    batches = [batch for batch, _ in data]
    if not all(isinstance(part, tf.Tensor) for part in tree.flatten(batches)):
        return None
    return tree.map_structure(lambda p: (tuple(p.shape), p.dtype), batches)
