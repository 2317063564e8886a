"""Data of another dtype than a model's inputs: cast if that loses nothing.

Floats are rounded to floats, as Keras does everywhere. All other casts must
give every value back.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data.checks import dtype_name, in_order, values_of

END = "which then serves all tasks."


def _are_floats(given: str, wanted: str) -> bool:
    is_float = keras.backend.is_float_dtype
    return is_float(given) and is_float(wanted)


def _keeps_all(given: str, wanted: str) -> bool:
    """Tells whether no value at all is changed by a cast."""
    if "string" in (given, wanted):
        return given == wanted
    dtypes = (tf.as_dtype(d).as_numpy_dtype for d in (given, wanted))
    return np.can_cast(*dtypes)


def check_cast(part: Any, wanted: str, what: str) -> None:
    """Refuses an array that a cast to the dtype of an input would change.

    >>> check_cast(np.array([0.0, 7.0]), "uint8", "x")
    >>> check_cast(np.array([0.25]), "uint8", "x")
    Traceback (most recent call last):
    ...
    ValueError: `x` is float64, and the model's inputs are uint8: 0.25 would \
become 0. Convert the data, for all tasks alike; or declare \
`keras.Input(shape, dtype='float32')` in the backbone, which then serves all \
tasks.
    """
    array = values_of(part)
    given = dtype_name(array.dtype)
    if _keeps_all(given, wanted):
        return
    if "string" in (given, wanted):
        raise ValueError(_message(what, given, wanted))
    with np.errstate(all="ignore"):
        cast = array.astype(tf.as_dtype(wanted).as_numpy_dtype)
        again = cast.astype(array.dtype)
    if _are_floats(given, wanted):
        changed = np.isfinite(array) & ~np.isfinite(cast)
    else:
        changed = (again != array) | ((cast < 0) != (array < 0))
    if changed.any():
        first = np.argmax(changed)
        example = array.flat[first], cast.flat[first]
        raise ValueError(_message(what, given, wanted, example))


def _message(what: str, given: str, wanted: str, example: Any = None) -> str:
    if "string" in (given, wanted):
        return (
            f"`{what}` is {given}, and the model's inputs are {wanted}. "
            "Give data of that kind, or build another model."
        )
    why = "values may change"
    if example is not None:
        why = f"{example[0]} would become {example[1]}"
    float_or_given = "float32" if "float" in given else given
    return (
        f"`{what}` is {given}, and the model's inputs are {wanted}: {why}. "
        "Convert the data, for all tasks alike; or declare "
        f"`keras.Input(shape, dtype='{float_or_given}')` in the backbone, "
        f"{END}"
    )


@contextlib.contextmanager
def explaining_casts() -> Iterator[None]:
    """Raises what a step found about its batch as a `ValueError`."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        # TensorFlow puts backslashes before quotes.
        text = str(error).replace("\\", "")
        found = re.search(f"`x` is .*{END}", text)
        if found is None:
            raise
        raise ValueError(found.group()) from error


def check_casts(x: Any, expected: Any, what: str) -> None:
    """Refuses inputs that a cast to a model's dtypes would change.

    Args:
        x: Nest of arrays or tensors.
        expected: Nest of `KerasTensor`, what the model takes.
        what: The argument's name.
    """
    parts = tree.flatten(in_order(x, expected))
    for part, spec in zip(parts, tree.flatten(expected)):
        check_cast(part, spec.dtype, what)


def as_taken(x: Any, expected: Any, jit_compile: bool = False) -> Any:
    """Returns tensors in the dtypes that a model takes, as its exports do.

    For a step of a network: where values may change, the step looks at each
    batch. What XLA compiles cannot do that, and takes no floats for integers.
    """
    ordered = in_order(x, expected)
    parts, specs = tree.flatten(ordered), tree.flatten(expected)
    if len(parts) != len(specs):
        return x
    cast = [
        _as_taken(part, spec.dtype, jit_compile)
        for part, spec in zip(parts, specs)
    ]
    same = all(one is other for one, other in zip(parts, cast))
    return x if same else tree.pack_sequence_as(ordered, cast)


def _as_taken(part: Any, wanted: str, jit_compile: bool) -> Any:
    given = dtype_name(part.dtype)
    # The layers themselves see to floats, and to what is no plain tensor.
    is_tensor = isinstance(part, tf.Tensor)
    if not is_tensor or given == wanted or _are_floats(given, wanted):
        return part
    message = _message("x", given, wanted)
    # Keras has rounded floats of 16 bits before, under a mixed policy.
    is_half = given in ("float16", "bfloat16")
    from_float = keras.backend.is_float_dtype(given)
    is_unknown = is_half or (jit_compile and from_float)
    if "string" in (given, wanted) or is_unknown:
        raise ValueError(message)
    cast = tf.cast(part, wanted)
    if _keeps_all(given, wanted) or jit_compile:
        return cast
    if tf.executing_eagerly():
        check_cast(part, wanted, "x")
        return cast
    kept = tf.reduce_all(tf.cast(cast, given) == part)
    if "bool" not in (given, wanted):
        zeros = tf.zeros_like(cast), tf.zeros_like(part)
        kept &= tf.reduce_all((cast < zeros[0]) == (part < zeros[1]))
    with tf.control_dependencies([tf.debugging.Assert(kept, [message])]):
        return tf.identity(cast)
