"""Runs an exported file and compares it with Keras."""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
from keras import tree

from tsn_keras.lite.errors import ExportError
from tsn_keras.lite.formats import Precision
from tsn_keras.lite.interpreter import SignatureRunner, make_interpreter
from tsn_keras.lite.samples import Samples

# Largest difference of an output, relative to the largest output or to 1.
BOUNDS = {"float32": 1e-4, "float16": 1e-2}
# Two outputs of the model nearer than this may change their order.
TIES = {"float32": 2e-6, "float16": 2e-2}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an exported file compares with the model.

    Args:
        predictions_equal: bool, whether the largest output is the same for
            every example.
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


def _first(outputs: dict[str, np.ndarray]) -> np.ndarray:
    return next(iter(outputs.values()))


def run_file(
    path: str | os.PathLike, x: Any, xnnpack: bool = True
) -> np.ndarray:
    """Runs a .tflite file with one output.

    A file with a static batch size is run batch by batch; integer inputs and
    outputs are quantized and dequantized.

    Args:
        path: str or path.
        x: array of shape `(batch, ...)`, or nest of arrays.
        xnnpack: bool, whether XNNPACK may be used.

    Returns:
        array of shape `(batch, ...)`.
    """
    interpreter = make_interpreter(pathlib.Path(path).read_bytes(), xnnpack)
    return _first(SignatureRunner(interpreter).run(x))


def verify_file(
    model: Any, path: str | os.PathLike, x: Any, task: str
) -> Agreement:
    """Compares a task's exported file with the model on real inputs.

    Args:
        model: `tsn_keras.ContinualModel`.
        path: str or path of the .tflite file.
        x: array of shape `(batch, ...)`, or nest of arrays.
        task: str.

    Returns:
        `Agreement`.
    """
    expected = _first_part(model.predict(x, task=task, verbose=0))
    return compare(run_file(path, x), expected)


def _first_part(outputs: Any) -> np.ndarray:
    return tree.flatten(outputs)[0]


def compare(
    logits: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None
) -> Agreement:
    """Compares two arrays of outputs.

    >>> compare(np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]])).agreement
    1.0

    Args:
        logits: array `(batch, ..., classes)`, of the file.
        expected: array of that shape, of the model.
        labels: integer array `(batch, ...)` or `None`.

    Returns:
        `Agreement`.
    """
    ours, theirs = logits.argmax(axis=-1), expected.argmax(axis=-1)
    right = [None, None]
    if labels is not None and np.shape(labels) == ours.shape:
        right = [float((guess == labels).mean()) for guess in (ours, theirs)]
    return Agreement(
        predictions_equal=bool((ours == theirs).all()),
        largest_difference=float(np.abs(logits - expected).max()),
        logits=logits,
        agreement=float((ours == theirs).mean()),
        accuracy=right[0],
        model_accuracy=right[1],
    )


def verify_content(
    content: bytes,
    expected: np.ndarray,
    samples: Samples,
    inputs: Any,
    precision: Precision,
    min_agreement: float,
) -> Agreement:
    """Runs a file with and without XNNPACK and refuses it if it is wrong.

    Args:
        content: bytes of the file.
        expected: array, what the model computes for the samples.
        samples: `Samples`.
        inputs: nest of `KerasTensor`, the structure of the inputs.
        precision: `Precision` of the file.
        min_agreement: float, the fraction of the predictions that must be
            equal if the file computes with integers.

    Returns:
        `Agreement` of the run with XNNPACK.

    Raises:
        ExportError: If the file does not run, or computes something else.
    """
    x = tree.pack_sequence_as(inputs, samples.x)
    agreements = []
    for xnnpack in (True, False):
        where = f"LiteRT {'with' if xnnpack else 'without'} XNNPACK"
        try:
            interpreter = make_interpreter(content, xnnpack)
            logits = _first(SignatureRunner(interpreter).run(x))
        except (RuntimeError, ValueError) as error:
            raise ExportError(
                f"The file does not run in {where}: {error}"
            ) from error
        check_shape_and_values(logits, expected, where)
        agreement = compare(logits, expected, samples.y)
        if precision.is_float:
            check_float(agreement, expected, precision, where)
        elif samples.source != "random" and agreement.agreement < min_agreement:
            raise ExportError(
                f"{where}: {agreement.agreement:.1%} of {len(samples)} "
                f"predictions equal the model's, and {min_agreement:.1%} are "
                "asked for. Give more `representative_data`, choose another "
                "precision, or lower `min_agreement`."
            )
        agreements.append(agreement)
    return agreements[0]


def check_shape_and_values(
    logits: np.ndarray, expected: np.ndarray, where: str
) -> None:
    if logits.shape != expected.shape:
        raise ExportError(
            f"{where}: the outputs have the shape {logits.shape}, and the "
            f"model's {expected.shape}."
        )
    if not np.isfinite(logits).all():
        raise ExportError(f"{where}: outputs are NaN or infinite.")


def check_float(
    agreement: Agreement,
    expected: np.ndarray,
    precision: Precision,
    where: str,
) -> None:
    """Refuses float outputs beyond the bound or with other predictions."""
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    bound = BOUNDS[precision.weights] * scale
    if agreement.largest_difference > bound:
        raise ExportError(
            f"{where}: the outputs differ from the model's by up to "
            f"{agreement.largest_difference:.3g}, and the bound is "
            f"{bound:.3g}."
        )
    ours, theirs = agreement.logits.argmax(-1), expected.argmax(-1)
    largest = np.take_along_axis(expected, theirs[..., None], -1)[..., 0]
    chosen = np.take_along_axis(expected, ours[..., None], -1)[..., 0]
    wrong = int((largest - chosen > TIES[precision.weights] * scale).sum())
    if wrong:
        raise ExportError(
            f"{where}: {wrong} of {len(expected)} predictions differ from the "
            "model's."
        )
