"""Errors for data that no task can be learned from."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

SPARSE_LOSSES = (
    "sparse_categorical_crossentropy",
    "SparseCategoricalCrossentropy",
)
LABEL_NAMES = ("label", "labels", "target", "targets", "class", "y")
NUMBER_CLASSES = (
    "Number the classes, as with `names, y = np.unique(labels, "
    "return_inverse=True)`, or in a data set with `keras.layers.StringLookup("
    "vocabulary=names, num_oov_indices=0)`."
)


def values_of(part: Any) -> np.ndarray:
    """Returns all entries of an array or tensor, ragged and sparse ones too."""
    if isinstance(part, tf.RaggedTensor):
        part = part.flat_values
    elif isinstance(part, tf.SparseTensor):
        part = part.values
    return np.asarray(part)


def dtype_name(dtype: Any) -> str:
    """Returns Keras' name of a dtype; `string` for text of any kind.

    >>> dtype_name(np.array(["a"]).dtype), dtype_name(tf.uint8)
    ('string', 'uint8')
    """
    if not isinstance(dtype, (str, tf.DType)):
        dtype = np.dtype(dtype)
        if dtype.kind in "OSU":
            return "string"
    return keras.backend.standardize_dtype(dtype)


def check_finite(data: Any, what: str) -> None:
    """Refuses a nest of arrays with NaN or infinity; `what` names it."""
    for part in tree.flatten(data):
        array = values_of(part)
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        wrong = int(array.size - np.isfinite(array).sum())
        raise ValueError(
            f"`{what}` has {wrong} entries that are NaN or infinite, of "
            f"{array.size}. Remove or replace them."
        )


def check_arrays(data: Any, what: str, are_labels: bool = False) -> None:
    """Refuses sparse matrices, and arrays of text or of Python objects.

    Anything but arrays passes. `what` is the argument's name for the error.
    """
    advice = (
        "Convert it, as with `.astype('float32')`, or with `tf.constant` for "
        "a backbone that takes text."
    )
    for part in tree.flatten(data):
        if hasattr(part, "toarray"):
            raise TypeError(
                f"`{what}` must not be a sparse matrix. Received: "
                f"{type(part).__name__} of shape {part.shape}. Convert it "
                "with `.toarray()`."
            )
        if isinstance(part, np.ndarray) and part.dtype.kind in "OSU":
            raise TypeError(
                f"`{what}` must hold numbers. Received: an array of dtype "
                f"{part.dtype}. {NUMBER_CLASSES if are_labels else advice}"
            )


def is_of_keras(loss: Any) -> bool:
    """Tells whether a loss is Keras' own, which knows no missing labels.

    >>> is_of_keras("mse"), is_of_keras(lambda y_true, y_pred: y_pred - y_true)
    (True, False)
    """
    if isinstance(loss, str):
        return True
    parts = [loss, getattr(loss, "fn", loss)]
    parts = [p if hasattr(p, "__name__") else type(p) for p in parts]
    modules = {part.__module__.partition(".")[0] for part in parts}
    return modules == {"keras"}


def with_losses(
    labels: Any, loss: Any, names: list[str] | None = None
) -> list[tuple[Any, Any]]:
    """Returns the parts of labels, each with the loss that it is for.

    The loss is `None` where that cannot be told.

    Args:
        labels: Nest of arrays.
        loss: As in `keras.Model.compile`.
        names: Of outputs in a list, for what is given by name.

    >>> with_losses({"a": 0, "b": 1}, {"b": "mse", "a": "mae"})
    [(0, 'mae'), (1, 'mse')]
    """
    if not tree.is_nested(loss):
        return [(part, loss) for part in tree.flatten(labels)]
    if names and isinstance(labels, dict) != isinstance(loss, dict):
        names = list(names)
        labels, loss = (
            [given.get(name) for name in names]
            if isinstance(given, dict)
            else given
            for given in (labels, loss)
        )
    if isinstance(labels, dict) and isinstance(loss, dict):
        pairs = [(part, loss.get(key)) for key, part in labels.items()]
    else:
        parts, losses = (
            list(given) if isinstance(given, (list, tuple)) else [given]
            for given in (labels, tree.flatten(loss))
        )
        losses = losses if len(losses) == len(parts) else [None] * len(parts)
        pairs = list(zip(parts, losses))
    return [
        (part, None if tree.is_nested(one) else one)
        for nest, one in pairs
        for part in tree.flatten(nest)
    ]


def check_targets(
    labels: Any, loss: Any, what: str, names: list[str] | None = None
) -> None:
    """Refuses labels that none of Keras' own losses can be computed with.

    What the user's own losses make of text or NaN is their affair.
    """
    for part, one in with_losses(labels, loss, names):
        if part is None or one is None or not is_of_keras(one):
            continue
        if dtype_name(values_of(part).dtype) == "string":
            raise TypeError(f"`{what}` has text for labels. {NUMBER_CLASSES}")
        check_finite(part, what)


def _is_sparse(loss: Any) -> bool:
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
    is_named = (name or type(loss).__name__) in SPARSE_LOSSES
    return is_named and is_of_keras(loss)


def _classes(labels: Any, loss: Any) -> np.ndarray:
    """Returns all labels but those that the loss ignores."""
    labels = values_of(labels)
    return labels[labels != getattr(loss, "ignore_class", None)]


def check_labels(labels: Any, loss: Any, outputs: Any) -> None:
    """Refuses class labels that the head has no output for.

    Only arrays of labels of sparse categorical losses are checked.
    """
    if labels is None or tree.is_nested(labels) or not _is_sparse(loss):
        return
    labels = _classes(labels, loss)
    num_classes = outputs.shape[-1]
    if not labels.size or num_classes is None:
        return
    lowest, highest = labels.min(), labels.max()
    if lowest < 0 or highest >= num_classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(
            f"Label {wrong} is outside the head's range: it has {num_classes} "
            f"outputs, for labels 0 to {num_classes - 1}. Renumber the labels "
            "of the task from 0, or give `add_task` a larger head."
        )


def check_several_classes(labels: list, loss: Any) -> None:
    """Refuses validation labels, given by batch, that are all of one class.

    Only those of sparse categorical losses are checked.
    """
    y = labels[0]
    if y is None or tree.is_nested(y) or not _is_sparse(loss):
        return
    parts = [_classes(part, loss) for part in labels]
    classes = {c for part in parts for c in np.unique(part).tolist()}
    if len(classes) == 1:
        raise ValueError(
            "`validation_data` has examples of one class only, "
            f"{classes.pop()}: any network that always answers it would "
            "validate. Give examples of all classes of the task."
        )


def commonest_share(labels: list) -> float | None:
    """Returns the part of the labels, given by batch, of the commonest class.

    Labels are classes, or one row of zeros and a one. `None` for others.
    """
    if labels[0] is None or tree.is_nested(labels[0]):
        return None
    arrays = [values_of(part) for part in labels]
    if any(array.ndim != arrays[0].ndim for array in arrays):
        return None
    y = np.concatenate(arrays)
    if y.ndim > 1 and y.shape[-1] > 1:
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=-1) == 1).all()):
            return None
        y = y.argmax(axis=-1)
    if y.dtype.kind not in "iubf" or (y != np.floor(y)).any():
        return None
    _, counts = np.unique(y, return_counts=True)
    return float(counts.max() / y.size)


def in_order(batch: Any, expected: Any) -> Any:
    """Returns inputs given by name as functional models take them.

    Anything but a dict is returned as it is. `expected` holds `KerasTensor`s,
    whose names count.
    """
    if not isinstance(batch, dict):
        return batch
    if isinstance(expected, dict):
        names = list(expected)
    else:
        names = [part.name for part in tree.flatten(expected)]
    if not set(names) <= set(batch):
        return batch
    batch = {name: batch[name] for name in names}
    return batch if isinstance(expected, dict) else list(batch.values())


def labels_in_dict(batch: Any) -> str | None:
    """Returns what to do about elements that hold labels among their inputs.

    `None` for anything but a dict in which something is named as labels are.

    >>> print(labels_in_dict({"image": 0, "label": 0}))
    Keras takes tuples `(x, y)`: give `dataset.map(lambda element: \
(element['image'], element['label']))`.
    """
    names = list(batch) if isinstance(batch, dict) else []
    labels = [name for name in names if str(name).lower() in LABEL_NAMES]
    inputs = [name for name in names if name not in labels]
    if not labels or not inputs:
        return None
    return (
        "Keras takes tuples `(x, y)`: give `dataset.map(lambda element: "
        f"(element[{inputs[0]!r}], element[{labels[0]!r}]))`."
    )


def _fits(shape: tuple, expected: tuple) -> bool:
    shape = tuple(shape)
    # Functional models let an axis of 1 at the end go or come.
    if len(shape) == len(expected) - 1 and expected[-1] == 1:
        shape = (*shape, 1)
    elif len(shape) == len(expected) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    return len(shape) == len(expected) and all(
        want is None or want == have
        for want, have in zip(expected[1:], shape[1:])
    )


def check_shapes(batch: Any, expected: Any) -> None:
    """Refuses inputs whose shape the backbone was not built for."""
    parts = tree.flatten(in_order(batch, expected))
    specs = tree.flatten(expected)
    if len(parts) != len(specs):
        advice = labels_in_dict(batch)
        raise ValueError(
            f"The backbone takes {len(specs)} inputs. Received: {len(parts)}"
            + (f". {advice}" if advice else "")
        )
    for part, spec in zip(parts, specs):
        if not _fits(part.shape, spec.shape):
            raise ValueError(
                "The input does not fit the backbone: expected shape "
                f"{tuple(spec.shape)}, received {tuple(part.shape)} (the first "
                "axis is the batch). Reshape the data, or build another model."
            )


def check_validation_data(data: Any) -> None:
    """Refuses missing validation data, and what never ends."""
    if data is None:
        raise ValueError(
            "`consolidate` needs `validation_data` to find out how much a "
            "task can be pruned and quantized. Received: None"
        )
    if isinstance(data, (str, bytes, int, float)):
        raise TypeError(
            "`validation_data` must be what `fit` takes: a tuple of arrays, a "
            "`tf.data.Dataset` or a `keras.utils.PyDataset`. Received: "
            f"{data!r}"
        )
    parts = data if isinstance(data, (list, tuple)) else [data]
    for number, part in enumerate(parts):
        check_arrays(part, "validation_data", are_labels=number == 1)
    if isinstance(data, tf.data.Dataset):
        endless = data.cardinality() == tf.data.INFINITE_CARDINALITY
    else:
        is_sequence = isinstance(data, keras.utils.PyDataset)
        endless = is_sequence and data.num_batches is None
    if endless:
        raise ValueError(
            "`validation_data` never ends. Give a finite number of examples, "
            "for example `dataset.take(10)`."
        )


def explain_label_error(error: Exception) -> None:
    """Raises a clear error in place of TensorFlow's about a label."""
    text = str(error)
    if "label value" not in text:
        return
    start = text.index("Received a label value")
    found = text[start:].split(".  Label")[0].splitlines()[0]
    raise ValueError(
        f"A label is outside the head's range. {found}. Renumber the labels "
        "of the task from 0, or give `add_task` a larger head."
    ) from error
