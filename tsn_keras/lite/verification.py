"""Runs an exported file and compares it with Keras."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.lite.checks import ExportError, check_model, read_file
from tsn_keras.lite.files.conversion import flat_outputs
from tsn_keras.lite.micro.interpreter import MicroInterpreter
from tsn_keras.lite.precision import Precision
from tsn_keras.lite.quiet import quiet
from tsn_keras.lite.runner import Network, make_interpreter
from tsn_keras.lite.samples import Samples

# The outputs of a file or a model, by name.
Arrays = dict[str, np.ndarray]
# Every file is run in both ways, by whether XNNPACK may be used.
DELEGATES = {True: "LiteRT with XNNPACK", False: "LiteRT without XNNPACK"}
# Two numbers are equal if they differ by no more than this part of the range.
SAME_NUMBER = 0.1
# Largest difference of an output, relative to the largest of it or to 1.
BOUNDS = {"float32": 1e-4, "float16": 1e-2}
# Two outputs of the model nearer than this may change their order.
TIES = {"float32": 2e-6, "float16": 2e-2}


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
    logits: np.ndarray = dataclasses.field(repr=False)
    agreement: float = 1.0
    accuracy: float | None = None
    model_accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns all but the logits, as JSON knows it."""
        return {
            "predictions_equal": bool(self.predictions_equal),
            "largest_difference": float(self.largest_difference),
            "agreement": float(self.agreement),
            "accuracy": _number(self.accuracy),
            "model_accuracy": _number(self.model_accuracy),
        }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def run_file(path: str | os.PathLike, x: Any, xnnpack: bool = True) -> Any:
    """Runs a .tflite file.

    A file with a static batch size is run batch by batch; integer inputs and
    outputs are quantized and dequantized.

    Args:
        x: array of shape `(batch, ...)`, or nest of arrays.
        xnnpack: bool, whether XNNPACK may be used.

    Returns:
        array of shape `(batch, ...)`; a dict of arrays if there are several
        outputs.
    """
    interpreter = make_interpreter(read_file(path), xnnpack)
    outputs = Network(interpreter).run(x)
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def verify_file(
    model: Any, path: str | os.PathLike, x: Any, task: str
) -> Agreement:
    """Compares a task's exported file with the model on real inputs.

    Args:
        model: `tsn_keras.ContinualModel`.
        x: array of shape `(batch, ...)`, or nest of arrays.
    """
    check_model(model)
    content = read_file(path)
    if x is None:
        raise TypeError("`x` must be one array or several. Received: None")
    predict = functools.partial(model.predict, task=task)
    parts = [np.asarray(part) for part in tree.flatten(x)]
    expected = _predicted(model, predict, x, Samples(parts, None, "x"))
    interpreter = make_interpreter(content)
    outputs = Network(interpreter).run(x)
    check_shapes_and_values(outputs, expected, "LiteRT with XNNPACK")
    return worst(compare_all(outputs, expected))


def verify_content(
    content: bytes,
    expected: Arrays,
    samples: Samples,
    inputs: Any,
    precision: Precision,
    min_agreement: float,
) -> Agreement:
    """Runs a file with and without XNNPACK and refuses it if it is wrong.

    Args:
        content: bytes of the file.
        expected: dict of arrays by output name, what the model computes for
            the samples.
        inputs: nest of `KerasTensor`, the structure of the inputs.
        min_agreement: float, the fraction of the predictions that must be
            equal if the file computes with integers.

    Returns:
        `Agreement` of the run with XNNPACK.

    Raises:
        ExportError: If the file does not run, or computes something else.
    """
    x = tree.pack_sequence_as(inputs, samples.x)
    agreements = []
    for xnnpack, where in DELEGATES.items():
        with explained(f"The file does not run in {where}"):
            interpreter = make_interpreter(content, xnnpack)
            outputs = Network(interpreter).run(x)
        agreements.append(
            checked(outputs, expected, samples, precision, where, min_agreement)
        )
    return agreements[0]


def verify_micro(
    content: bytes,
    plain: bytes,
    expected: Arrays,
    samples: Samples,
    inputs: Any,
    precision: Precision,
    min_agreement: float,
    arena: int,
    name: str,
    **choice: Any,
) -> Agreement:
    """Runs a file as microcontrollers do and refuses it if it is wrong.

    Its outputs must equal, to the bit, those of the file whose weights are
    stored as they are.

    Args:
        content: bytes of the file.
        plain: bytes of the task's int8 file with plain weights.
        arena: int, the bytes of memory that it has.
        name: str, the task's, for errors.
        choice: what `MicroInterpreter` takes of a task of several.
    """
    x = tree.pack_sequence_as(inputs, samples.x)
    where = f"TFLite for Microcontrollers, task '{name}'"
    with explained(f"The file does not run in {where}"):
        wanted = Network(MicroInterpreter(plain)).run(x)
        found = Network(MicroInterpreter(content, arena, **choice)).run(x)
    for (output, array), given in zip(wanted.items(), found.values()):
        if not np.array_equal(given, array):
            raise ExportError(
                f"{where}: the outputs '{output}' differ from those of the "
                "file with plain weights. Export with compression='none', and "
                "report this, please."
            )
    return checked(found, expected, samples, precision, where, min_agreement)


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Raises what LiteRT raises as an `ExportError`, without its logs."""
    try:
        with quiet():
            yield
    except ExportError:
        raise
    except (RuntimeError, ValueError) as error:
        raise ExportError(f"{what}: {error}") from error


def model_outputs(model: Any, samples: Samples, task: str) -> Arrays:
    """Returns what Keras computes for a task."""
    predict = functools.partial(model.predict, task=task)
    return _predicted(model, predict, model.switch.inputs, samples)


def _predicted(
    model: Any, predict: Callable, like: Any, samples: Samples
) -> Arrays:
    """Predicts for samples as they are given, in batches that the model takes.

    Args:
        like: Nest of the structure of the inputs.
    """
    size = model.switch.batch_size
    batches = [samples.x] if size is None else samples.batches(size)
    x = [np.concatenate(parts) for parts in zip(*batches)]
    x = tree.pack_sequence_as(like, x)
    try:
        outputs = predict(x, batch_size=size, verbose=0)
    except (ValueError, tf.errors.OpError) as error:
        if samples.source != "random":
            raise
        shapes = [part.shape[1:] for part in samples.x]
        raise ExportError(
            f"The model cannot compute with random inputs of {shapes}, which "
            f"the file was to be verified with: {error}. Give "
            "`verification_data`."
        ) from error
    count = len(samples)
    return flat_outputs(
        tree.map_structure(lambda part: np.asarray(part)[:count], outputs)
    )


def compare(
    logits: np.ndarray, expected: np.ndarray, labels: np.ndarray | None = None
) -> Agreement:
    """Compares an output `(batch, ..., classes)` of a file and of the model.

    >>> compare(np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]])).agreement
    1.0

    Labels are an array `(batch, ...)` of classes, or with a last axis of
    probabilities. There is no accuracy of a single class.
    """
    accuracies = ()
    classes = _classes(labels, expected)
    if classes is not None:
        accuracies = (
            float((array.argmax(axis=-1) == classes).mean())
            for array in (logits, expected)
        )
    equal = _equal_predictions(logits, expected)
    difference = float(np.abs(logits - expected).max())
    return Agreement(
        bool(equal.all()), difference, logits, float(equal.mean()), *accuracies
    )


def _has_classes(outputs: np.ndarray) -> bool:
    return outputs.ndim > 1 and outputs.shape[-1] > 1


def _equal_predictions(logits: np.ndarray, expected: np.ndarray) -> np.ndarray:
    if _has_classes(expected):
        return logits.argmax(axis=-1) == expected.argmax(axis=-1)
    size = np.ptp(expected) or np.abs(expected).max() or 1.0
    return np.abs(logits - expected) <= SAME_NUMBER * size


def _classes(labels: Any, expected: np.ndarray) -> np.ndarray | None:
    """Returns labels as classes, if they are of a classification."""
    if labels is None or not _has_classes(expected):
        return None
    if labels.shape == expected.shape:
        return labels.argmax(axis=-1)
    shape = expected.shape[:-1]
    fits = labels.shape in (shape, (*shape, 1))
    return labels.reshape(shape) if fits else None


def compare_all(
    outputs: Arrays, expected: Arrays, labels: list[np.ndarray] | None = None
) -> dict[str, Agreement]:
    """Compares every output of a file and of the model, by name.

    Labels, in the order of `expected`, are only used if there are as many.
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


def checked(
    outputs: Arrays,
    expected: Arrays,
    samples: Samples,
    precision: Precision,
    where: str,
    min_agreement: float = 1.0,
) -> Agreement:
    """Compares all outputs, and refuses any that is beyond its bound.

    What was run is `where`, for errors. Integers have no bound for random
    inputs.
    """
    check_shapes_and_values(outputs, expected, where)
    agreements = compare_all(outputs, expected, samples.y)
    for name, agreement in agreements.items():
        place = _place(where, name, expected)
        if precision.is_float:
            _check_float(agreement, expected[name], precision, place)
        elif samples.source != "random":
            _check_integers(agreement, min_agreement, len(samples), place)
    return worst(agreements)


def check_shapes_and_values(
    outputs: Arrays, expected: Arrays, where: str
) -> None:
    """Refuses outputs of other names or shapes, and NaN."""
    if set(outputs) != set(expected):
        raise ExportError(
            f"{where}: the outputs are {sorted(outputs)}, and the model's "
            f"{sorted(expected)}."
        )
    for name, array in expected.items():
        place, found = _place(where, name, expected), outputs[name]
        if found.shape != array.shape:
            raise ExportError(
                f"{place}: the outputs have the shape {found.shape}, and the "
                f"model's {array.shape}."
            )
        if not np.isfinite(found).all():
            raise ExportError(f"{place}: outputs are NaN or infinite.")


def _check_integers(
    agreement: Agreement, min_agreement: float, count: int, where: str
) -> None:
    if agreement.agreement < min_agreement:
        raise ExportError(
            f"{where}: {agreement.agreement:.1%} of {count} predictions equal "
            f"the model's, and {min_agreement:.1%} are asked for. Give more "
            "`representative_data`, choose another precision, or lower "
            "`min_agreement`."
        )


def _place(where: str, name: str, outputs: dict) -> str:
    return f"{where}, output '{name}'" if len(outputs) > 1 else where


def _check_float(
    agreement: Agreement, expected: np.ndarray, precision: Precision, where: str
) -> None:
    """Refuses float outputs beyond the bound or with other predictions."""
    # Class by class: one may be masked by a large negative constant.
    others = tuple(range(expected.ndim - _has_classes(expected)))
    scale = np.abs(expected).max(axis=others, initial=1.0, keepdims=True)
    excess = np.abs(agreement.logits - expected) / scale
    bound = BOUNDS[precision.weights]
    if excess.max(initial=0) > bound:
        raise ExportError(
            f"{where}: the outputs differ from the model's by up to "
            f"{excess.max():.3g} of the largest, and the bound is {bound:.3g}."
        )
    if not _has_classes(expected):
        return
    ours, theirs = agreement.logits.argmax(-1), expected.argmax(-1)
    scale = np.broadcast_to(scale, expected.shape)
    largest, chosen, scale_of_largest, scale_of_chosen = (
        np.take_along_axis(array, indices[..., None], -1)[..., 0]
        for array in (expected, scale)
        for indices in (theirs, ours)
    )
    margin = np.maximum(scale_of_largest, scale_of_chosen)
    margin = TIES[precision.weights] * margin
    wrong = int((largest - chosen > margin).sum())
    if wrong:
        raise ExportError(
            f"{where}: {wrong} of {len(expected)} predictions differ from the "
            "model's."
        )
