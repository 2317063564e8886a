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


def check_finite(data: Any, what: str) -> None:
    """Refuses a nest of arrays with NaN or infinity; `what` names it."""
    for part in tree.flatten(data):
        array = np.asarray(part)
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        wrong = int(array.size - np.isfinite(array).sum())
        raise ValueError(
            f"`{what}` has {wrong} entries that are NaN or infinite, of "
            f"{array.size}. Remove or replace them."
        )


def check_arrays(data: Any, what: str) -> None:
    """Refuses sparse matrices, and arrays of text or of Python objects.

    Anything but arrays passes. `what` is the argument's name for the error.
    """
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
                f"{part.dtype}. Convert it, as with `.astype('float32')`, or "
                "with `tf.constant` for a backbone that takes text."
            )


def _is_sparse(loss: Any) -> bool:
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", None)
    return (name or type(loss).__name__) in SPARSE_LOSSES


def check_labels(labels: Any, loss: Any, outputs: Any) -> None:
    """Refuses class labels that the head has no output for.

    Only arrays of labels of sparse categorical losses are checked.
    """
    if labels is None or tree.is_nested(labels) or not _is_sparse(loss):
        return
    labels = np.asarray(labels)
    labels = labels[labels != getattr(loss, "ignore_class", None)]
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
    classes = {c for part in labels for c in np.unique(part).tolist()}
    if len(classes) == 1:
        raise ValueError(
            "`validation_data` has examples of one class only, "
            f"{classes.pop()}: any network that always answers it would "
            "validate. Give examples of all classes of the task."
        )


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
        raise ValueError(
            f"The backbone takes {len(specs)} inputs. Received: {len(parts)}"
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
    check_arrays(data, "validation_data")
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
