"""How the outputs of a file and those of the model compare."""

import dataclasses
from typing import Any

import numpy as np

# How far apart, of their range, two equal numbers may be.
SAME_NUMBER = 0.1


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an exported file compares with the model.

    Of several outputs it is the worst that counts: all predictions, the
    largest difference, the lowest agreement. `logits` and the accuracies are
    those of the first.

    Args:
        predictions_equal: bool, whether the largest output is the same for
            every example; of a single output, whether none differs by more
            than a tenth of the range of all.
        largest_difference: float, the largest absolute difference of any
            output.
        logits: float32 array, what the file computed.
        agreement: float, the fraction of equal predictions.
        accuracy: float or `None`, with labels the file's accuracy.
        model_accuracy: float or `None`, with labels the model's.
    """

    predictions_equal: bool
    largest_difference: float
    logits: np.ndarray
    agreement: float = 1.0
    accuracy: float | None = None
    model_accuracy: float | None = None


def compare(
    logits: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None
) -> Agreement:
    """Compares two arrays of outputs.

    >>> compare(np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]])).agreement
    1.0

    Args:
        logits: array `(batch, ..., classes)`, of the file.
        expected: array of that shape, of the model.
        labels: array `(batch, ...)` of classes, or with a last axis of
            probabilities, or `None`. There is no accuracy of a single class.

    Returns:
        `Agreement`.
    """
    right = [None, None]
    classes = _classes(labels, expected)
    if classes is not None:
        right = [
            float((array.argmax(axis=-1) == classes).mean())
            for array in (logits, expected)
        ]
    equal = _equal(logits, expected)
    return Agreement(
        predictions_equal=bool(equal.all()),
        largest_difference=float(np.abs(logits - expected).max()),
        logits=logits,
        agreement=float(equal.mean()),
        accuracy=right[0],
        model_accuracy=right[1],
    )


def has_classes(outputs: np.ndarray) -> bool:
    """Tells whether the last axis of outputs has several entries to compare.

    Args:
        outputs: array, batch first.
    """
    return outputs.ndim > 1 and outputs.shape[-1] > 1


def _equal(logits: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Tells which predictions are equal.

    Numbers are if they differ by no more than a tenth of the range of all.
    """
    if has_classes(expected):
        return logits.argmax(axis=-1) == expected.argmax(axis=-1)
    size = np.ptp(expected) or np.abs(expected).max() or 1.0
    return np.abs(logits - expected) <= SAME_NUMBER * size


def _classes(labels: Any, expected: np.ndarray) -> np.ndarray | None:
    """Returns labels as classes, if they are of a classification."""
    if labels is None or not has_classes(expected):
        return None
    if labels.shape == expected.shape:
        return labels.argmax(axis=-1)
    shape = expected.shape[:-1]
    fits = labels.shape in (shape, (*shape, 1))
    return labels.reshape(shape) if fits else None


def compare_all(
    outputs: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
    labels: list[np.ndarray] | None = None,
) -> dict[str, Agreement]:
    """Compares every output, by name.

    Args:
        outputs: dict of arrays, of the file.
        expected: dict of arrays, of the model.
        labels: list of arrays, for each output in the order of `expected`;
            of another length they are left alone.
    """
    known = labels if labels and len(labels) == len(expected) else ()
    by_name = dict(zip(expected, known))
    return {
        name: compare(outputs[name], array, by_name.get(name))
        for name, array in expected.items()
    }


def worst(agreements: dict[str, Agreement]) -> Agreement:
    """Joins the agreements of all outputs into one."""
    found = list(agreements.values())
    return dataclasses.replace(
        found[0],
        predictions_equal=all(a.predictions_equal for a in found),
        largest_difference=max(a.largest_difference for a in found),
        agreement=min(a.agreement for a in found),
    )
