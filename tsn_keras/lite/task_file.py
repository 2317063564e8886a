"""Exports one task as a .tflite file."""

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from tsn_keras.lite import samples as sampling
from tsn_keras.lite.comparison import Agreement
from tsn_keras.lite.errors import ExportError
from tsn_keras.lite.formats import get_precision
from tsn_keras.lite.replay import task_values
from tsn_keras.lite.signature import flat_outputs
from tsn_keras.lite.task_content import task_content
from tsn_keras.lite.verification import verify_content


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was exported, and how it compares with the model.

    Args:
        path: path of the file.
        precision: str.
        bytes: int, size of the file.
        removed_units: dict by layer name, dead units left out.
        samples: str, what the file was verified with:
            `verification_data`, `representative_data` or `random`.
        agreement: `Agreement`.
    """

    path: pathlib.Path
    precision: str
    bytes: int
    removed_units: dict[str, int]
    samples: str
    agreement: Agreement


def export_task(
    model: Any,
    path: str | os.PathLike,
    task: str | None = None,
    precision: str = "float32",
    batch_size: int | None = 1,
    representative_data: Any = None,
    verification_data: Any = None,
    min_agreement: float = 0.9,
    remove_dead_units: bool = True,
) -> ExportReport:
    """Exports a consolidated task as a plain network in a .tflite file.

    Masks and codebooks are folded into constants. The file is run by LiteRT,
    with and without XNNPACK, and compared with the model before it gets its
    name.

    Args:
        model: `tsn_keras.ContinualModel`.
        path: str or path, ending in `.tflite`.
        task: str or `None`. The task's name; the active one by default.
        precision: str, a key of `tsn_keras.lite.PRECISIONS`.
        batch_size: int, or `None` for a file that takes any.
        representative_data: arrays or dataset of the task's inputs, which
            `int8` and `sparse_int8` take the ranges of activations from.
        verification_data: arrays or dataset, `(x, y)` or inputs alone, that
            the file is compared on; `representative_data` by default, or
            seeded random inputs.
        min_agreement: float, the fraction of the predictions on given data
            that must equal the model's if the file computes with integers.
        remove_dead_units: bool.

    Returns:
        `ExportReport`.

    Raises:
        ExportError: If the file cannot be made or computes something else.
        ValueError: If an argument is unusable.
    """
    path = checked_path(path)
    check_batch_size(batch_size)
    kind = get_precision(precision)
    if not 0 <= min_agreement <= 1:
        raise ValueError(
            "`min_agreement` is a fraction of the predictions, from 0 to 1. "
            f"Received: {min_agreement!r}"
        )
    name = consolidated_task(model, task)
    check_policies(model, name)
    inputs = model.switch.inputs
    representative = verification = None
    if representative_data is not None:
        representative = sampling.take_samples(
            representative_data, inputs, "representative_data"
        )
    if verification_data is not None:
        verification = sampling.take_samples(
            verification_data,
            inputs,
            "verification_data",
            model.heads.output_names(model.bank[name].head),
            limit=10000,
        )
    if kind.integer and representative is None:
        raise ValueError(
            f"Precision '{precision}' needs `representative_data`: a few "
            "hundred of the task's inputs, such as its validation data."
        )
    samples = verification or representative or sampling.random_samples(inputs)
    with model.switch.using(name):
        expected = model_outputs(model, samples, inputs)
        content, removed = task_content(
            model,
            task_values(model, name),
            kind,
            batch_size,
            representative,
            remove_dead_units,
        )
    agreement = verify_content(
        content, expected, samples, inputs, kind, min_agreement
    )
    with unfinished(path) as file:
        file.write_bytes(content)
    return ExportReport(
        path, precision, len(content), removed, samples.source, agreement
    )


def consolidated_task(model: Any, task: str | None) -> str:
    """Returns the name of a task that can be exported."""
    name = model.switch.resolve(task)
    if name not in model.bank.tasks:
        raise ValueError(
            f"Task '{name}' is not consolidated yet. Call "
            "`model.consolidate(validation_data)` before `export`."
        )
    return name


def checked_path(path: str | os.PathLike) -> pathlib.Path:
    """Returns a path that a .tflite file can be written to."""
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        raise ValueError(
            f"The name of a LiteRT file ends in '.tflite'. Received: {path}"
        )
    check_folder(path)
    if path.is_dir():
        raise ValueError(f"'{path}' is a folder. Choose another name.")
    return path


def check_folder(path: pathlib.Path) -> None:
    """Refuses a path in a folder that nothing can be written to."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"The folder '{path.parent}' does not exist or cannot be written "
            "to. Create it, or choose another one."
        )


def check_batch_size(batch_size: int | None) -> None:
    """Refuses a batch size that no file can have."""
    is_count = isinstance(batch_size, int) and batch_size > 0
    if batch_size is not None and not is_count:
        raise ValueError(
            "`batch_size` must be a positive integer, or `None` for a file "
            f"that takes any. Received: {batch_size!r}"
        )


def check_policies(model: Any, task: str) -> None:
    """Refuses layers that compute in 16 bits, which LiteRT has no kernels for.

    Args:
        model: `tsn_keras.ContinualModel`.
        task: str.

    Raises:
        ExportError: If there are some.
    """
    with model.switch.using(task):
        layers = [*model.backbone._flatten_layers()]
        layers += model.heads.head._flatten_layers()
    names = {
        f"'{layer.name}' ({layer.dtype_policy.name})"
        for layer in layers
        if layer.weights and layer.compute_dtype in ("float16", "bfloat16")
    }
    if names:
        raise ExportError(
            "LiteRT has no kernels for layers that compute in 16 bits: "
            f"{', '.join(sorted(names))}. For export, make the model and its "
            "heads under `keras.config.set_dtype_policy('float32')` and load "
            "the tasks with `load_weights`."
        )


@contextlib.contextmanager
def unfinished(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path, which gets its name if nothing fails."""
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f".{path.name}."
    ) as folder:
        file = pathlib.Path(folder) / path.name
        yield file
        file.replace(path)


def model_outputs(
    model: Any, samples: sampling.Samples, inputs: Any
) -> dict[str, np.ndarray]:
    """Returns what Keras computes, with the task at work already."""
    x = tree.pack_sequence_as(inputs, samples.x)
    outputs = keras.Model.predict(model, x, verbose=0)
    return flat_outputs(tree.map_structure(np.asarray, outputs))
