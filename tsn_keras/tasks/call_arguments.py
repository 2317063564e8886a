"""Errors for arguments of `fit`, `evaluate`, `predict`, `compile` and others.

What Keras takes is taken. What it refuses with an error about something else,
or leaves unread, is refused here by the argument's name.
"""

import contextlib
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data import (
    check_arrays,
    check_integers,
    check_numbers,
    check_shapes,
    check_verbose,
    explain_label_error,
    in_order,
    shown,
)
from tsn_keras.distribution import in_strategy_scope
from tsn_keras.tasks import checks

# Counts by the lowest that they can be; those that must be given come first.
_COUNTS = {"epochs": 0, "initial_epoch": 0}
_OPTIONAL_COUNTS = {
    "batch_size": 1,
    "steps": 1,
    "steps_per_epoch": 1,
    "validation_batch_size": 1,
    "validation_steps": 1,
}
# Losses and metrics that Keras makes for the outputs at hand.
_FOR_OUTPUTS = ("accuracy", "acc", "crossentropy", "ce")
_NO_LABELS = "None values not supported"
# What errors speak of where data have a wrong shape.
_OF_SHAPES = ("shape", "ndim", "rank", "incompatible", "Dimensions", "size")


def checked_call(method: Callable) -> Callable:
    """Lets a method of a model check what `keras.Model` has it given."""

    @functools.wraps(method)
    def checked(self, *args, task=None, **kwargs):
        arguments = bound(method.__name__, self, args, kwargs)
        check_settings(arguments)
        check_data(self, arguments)
        if task is not None:
            kwargs["task"] = task
        with explained(self, arguments):
            return method(self, *args, **kwargs)

    return checked


def on_batch_of_latest(name: str) -> Callable:
    """Returns a method of `keras.Model` that asks the latest task.

    Args:
        name: Of a method that takes one batch.
    """
    method = getattr(keras.Model, name)

    @in_strategy_scope
    @checked_call
    @functools.wraps(method)
    def on_batch(self, *args, **kwargs):
        with self.switch.answering(None):
            return method(self, *args, **kwargs)

    return on_batch


@functools.cache
def _signature(name: str) -> inspect.Signature:
    return inspect.signature(getattr(keras.Model, name))


def bound(
    name: str, model: keras.Model, args: tuple, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of a method of `keras.Model` by their names."""
    try:
        found = _signature(name).bind(model, *args, **kwargs)
    except TypeError as error:
        raise TypeError(f"`{name}`: {error}") from error
    arguments = dict(found.arguments)
    del arguments["self"]
    return arguments


def check_settings(arguments: dict[str, Any]) -> None:
    """Refuses settings of a call that Keras cannot work with."""
    for names, or_none in ((_COUNTS, False), (_OPTIONAL_COUNTS, True)):
        for name in names.keys() & arguments.keys():
            given = {name: arguments[name]}
            check_integers(lowest=names[name], or_none=or_none, **given)
    check_verbose(arguments.get("verbose", "auto"))
    _check_callbacks(arguments.get("callbacks"))
    _check_class_weight(arguments.get("class_weight"))
    split = arguments.get("validation_split")
    check_numbers(validation_split=split, or_none=True)
    if split is not None and not 0.0 <= split < 1.0:
        raise ValueError(
            "`validation_split` must be in [0, 1), the part of the examples "
            f"that validate. Received: validation_split={split}"
        )
    frequency = arguments.get("validation_freq", 1)
    if not isinstance(frequency, (list, tuple, set, range)):
        check_integers(lowest=1, validation_freq=frequency)


def _check_callbacks(callbacks: Any) -> None:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return
    for one in tree.flatten(callbacks):
        if one is not None and not isinstance(one, keras.callbacks.Callback):
            raise TypeError(
                "`callbacks` must be a list of keras.callbacks.Callback "
                f"objects. Received: {shown(one)}"
            )


def _check_class_weight(weights: Any) -> None:
    if weights is None:
        return
    if not isinstance(weights, Mapping):
        raise TypeError(
            "`class_weight` must be a dict of numbers by class, such as "
            f"{{0: 1.0, 1: 2.5}}. Received: class_weight={shown(weights)}"
        )
    for name, weight in weights.items():
        check_numbers(**{f"class_weight[{name!r}]": weight})
        if not math.isfinite(weight):
            raise ValueError(
                f"`class_weight[{name!r}]` must be finite. Received: {weight}"
            )


def check_data(model: keras.Model, arguments: dict[str, Any]) -> None:
    """Refuses data that are no arrays, data sets or generators."""
    check_kinds(arguments)
    x = arguments.get("x")
    if _is_stream(x):
        return
    check_input_count(x, model.switch.inputs)
    shapes = [tuple(np.shape(part)) for part in tree.flatten(x)]
    if any(shape[:1] == (0,) for shape in shapes):
        raise ValueError(
            "`x` is empty: it has no rows. Give some examples. Received the "
            f"shapes {shapes}"
        )


def check_kinds(arguments: dict[str, Any]) -> None:
    """Refuses data that are neither arrays nor can be read in batches."""
    check_kind(arguments.get("x"), "x")
    for name in ("y", "sample_weight"):
        if arguments.get(name) is not None:
            check_kind(arguments[name], name, only_arrays=True)
    data = arguments.get("validation_data")
    if data is not None:
        check_validation(data)


def check_validation(data: Any) -> None:
    """Refuses validation data that are no pairs of arrays, and no stream."""
    name = "validation_data"
    if _is_stream(data):
        return
    if not isinstance(data, (tuple, list)) or len(data) > 3:
        raise TypeError(
            f"`{name}` must be what `fit` takes: a tuple `(x, y)` or `(x, y, "
            "sample_weight)` of arrays, a `tf.data.Dataset` or a "
            f"`keras.utils.PyDataset`. Received: {name}={shown(data)}"
        )
    for place, part in enumerate(data):
        if part is not None or not place:
            check_kind(part, name, only_arrays=True)
    names = ("x", "y", "sample_weight")
    check_rows(dict(zip(names, data)), f"The parts of `{name}`")


def check_kind(data: Any, name: str, only_arrays: bool = False) -> None:
    """Refuses what no data can be read from.

    Args:
        name: The argument's, for errors.
        only_arrays: Whether data sets and generators are refused as well.
    """
    if not only_arrays and _is_stream(data):
        return
    parts = tree.flatten(data)
    # Some inputs and labels may be left out.
    left_out = type(None) if tree.is_nested(data) else ()
    wrong = [
        part
        for part in parts
        if not hasattr(part, "shape") and not isinstance(part, left_out)
    ]
    if not parts and not only_arrays:
        raise ValueError(
            f"`{name}` is empty. Give some examples. Received: {name}={data!r}"
        )
    if wrong:
        what = "" if only_arrays else ", a data set or a generator"
        advice = ""
        if isinstance(data, list) and isinstance(wrong[0], (int, float)):
            advice = " Convert the list with `np.array`."
        raise TypeError(
            f"`{name}` must be an array or a nest of arrays{what}. Received: "
            f"{name}={shown(data)}.{advice}"
        )


def _is_stream(data: Any) -> bool:
    if isinstance(data, (tf.data.Dataset, keras.utils.PyDataset)):
        return True
    # Of other libraries, or of `tf.distribute`: Keras knows them.
    is_plain = hasattr(data, "shape") or isinstance(
        data, (str, bytes, list, tuple, dict, set)
    )
    iterates = hasattr(data, "__iter__") or hasattr(data, "__getitem__")
    return isinstance(data, types.GeneratorType) or (
        iterates and not is_plain and not isinstance(data, type)
    )


def check_input_count(inputs: Any, expected: Any) -> None:
    """Refuses another number of inputs than the backbone's.

    Keras leaves the others unread.
    """
    if inputs is None:
        raise TypeError("`inputs` must be arrays or tensors. Received: None")
    if expected is None:
        return
    count = len(tree.flatten(in_order(inputs, expected)))
    if count != len(tree.flatten(expected)):
        raise ValueError(
            f"The backbone takes {len(tree.flatten(expected))} inputs. "
            f"Received: {count}"
        )


@contextlib.contextmanager
def explained(model: keras.Model, arguments: dict[str, Any]) -> Iterator[None]:
    """Says what is wrong with data, where Keras or TensorFlow failed."""
    try:
        yield
    except (TypeError, ValueError, tf.errors.OpError) as error:
        explain(model, arguments, error)
        raise


def explain(
    model: keras.Model, arguments: dict[str, Any], error: Exception
) -> None:
    """Raises a clear error in place of another, if the data are to blame."""
    if isinstance(error, tf.errors.OpError):
        explain_label_error(error)
    x, y = arguments.get("x"), arguments.get("y")
    if y is None and _NO_LABELS in str(error):
        raise ValueError(
            "`y` is missing: the loss compares outputs with labels. Give "
            "`y`, or a data set of pairs `(x, y)`. Received: y=None"
        ) from error
    if _is_stream(x):
        return
    try:
        check_arrays(x, "x")
        if any(word in str(error) for word in _OF_SHAPES):
            check_shapes(x, model.switch.inputs)
            # Keras says this itself, where it looks at the rows.
            if "cardinality" not in str(error):
                check_rows(arguments)
    except (TypeError, ValueError) as reason:
        raise reason from error


def check_rows(
    arguments: dict[str, Any], what: str = "`x`, `y` and `sample_weight`"
) -> None:
    """Refuses arrays of different numbers of rows; `what` names them."""
    shapes = {
        name: tuple(np.shape(tree.flatten(arguments[name])[0]))
        for name in ("x", "y", "sample_weight")
        if arguments.get(name) is not None
    }
    if len({shape[:1] for shape in shapes.values()}) > 1:
        raise ValueError(
            f"{what} must have one row for each example. Received the shapes "
            f"{shapes}"
        )


def compile_arguments(
    model: keras.Model, args: tuple, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Returns the arguments of `compile`, if Keras can work with them."""
    arguments = bound("compile", model, args, kwargs)
    check_compiled(arguments)
    used = model.compiled_heads.optimizers
    checks.check_optimizer(arguments.get("optimizer"), used)
    return arguments


def check_compiled(arguments: dict[str, Any]) -> None:
    """Refuses losses, metrics and other arguments of `compile`.

    Keras would say so in the first training step.
    """
    steps = arguments.get("steps_per_execution", 1)
    check_integers(lowest=1, steps_per_execution=steps)
    for one in tree.flatten(arguments.get("loss")):
        _check_named("loss", one, keras.losses.get)
    for name in ("metrics", "weighted_metrics"):
        given = arguments.get(name)
        if not isinstance(given, (list, tuple, dict, type(None))):
            raise TypeError(
                f"`{name}` must be a list, such as ['accuracy']. Received: "
                f"{name}={shown(given)}"
            )
        for one in tree.flatten(given):
            _check_named(name, one, keras.metrics.get)


def _check_named(name: str, value: Any, get: Callable) -> None:
    if value is None or callable(value) or value in _FOR_OUTPUTS:
        return
    if not isinstance(value, str):
        raise TypeError(
            f"`{name}` must be a name, a function or an object of "
            f"keras.{'losses' if name == 'loss' else 'metrics'}. Received: "
            f"{shown(value)}"
        )
    try:
        get(value)
    except ValueError as error:
        raise ValueError(
            f"`{name}` is not known to Keras. Received: '{value}'. Give "
            "another name, the function itself, or register it with "
            "`keras.saving.register_keras_serializable`."
        ) from error
