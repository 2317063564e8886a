"""Errors for what cannot be exported."""

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import keras
from keras import tree

from tsn_keras.data import check_numbers, check_paths, check_strings, shown
from tsn_keras.keras_internals import flatten_layers
from tsn_keras.lite.runner import IDENTIFIER

READERS_OF_TEXT = (
    keras.layers.TextVectorization,
    keras.layers.StringLookup,
    keras.layers.Hashing,
)


class ExportError(RuntimeError):
    """A file could not be made, or does not compute what the model does.

    The message says what differed or which layer is to blame. No file is
    left behind.
    """


def check_model(model: Any) -> None:
    """Refuses what is no model that learns tasks."""
    if not hasattr(model, "add_task"):
        raise TypeError(
            "`model` must be a tsn_keras.ContinualModel. Received: "
            f"model={shown(model)}"
        )


def read_file(path: str | os.PathLike) -> bytes:
    """Returns the bytes of a file that can be a .tflite file."""
    check_paths(path=path)
    content = pathlib.Path(path).read_bytes()
    if content[4:8] != IDENTIFIER:
        raise ValueError(
            f"'{path}' is no .tflite file, or is damaged: its {len(content)} "
            "bytes do not begin as one. Export it again."
        )
    return content


def consolidated_task(model: Any, task: str | None) -> str:
    """Returns the name of a task that can be exported."""
    check_model(model)
    name = model.switch.resolve(task)
    if name not in model.bank.tasks:
        raise ValueError(
            f"Task '{name}' is not consolidated yet. Call "
            "`model.consolidate(validation_data)` before `export`."
        )
    return name


def checked_path(path: str | os.PathLike) -> pathlib.Path:
    """Returns a path that a .tflite file can be written to."""
    check_paths(path=path)
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


def check_batch_size(batch_size: int | None, only: int | None) -> None:
    """Refuses a batch size that no file can have.

    Args:
        only: The one that the backbone takes, `None` for any.
    """
    is_count = isinstance(batch_size, int) and batch_size > 0
    is_count = is_count and not isinstance(batch_size, bool)
    if batch_size is not None and not is_count:
        raise ValueError(
            "`batch_size` must be a positive integer, or `None` for a file "
            f"that takes any. Received: {batch_size!r}"
        )
    if only not in (None, batch_size):
        raise ValueError(
            f"The backbone takes batches of exactly {only} examples, as its "
            f"`keras.Input` says. Export it with `batch_size={only}`. "
            f"Received: {batch_size}"
        )


def checked_tasks(tasks: Any) -> list[str]:
    """Returns the names of tasks, each of them once."""
    if isinstance(tasks, str) or not isinstance(tasks, Iterable):
        raise TypeError(
            "`tasks` must be a list of names of tasks. Received: "
            f"tasks={shown(tasks)}"
        )
    tasks = list(tasks)
    for name in tasks:
        check_strings(tasks=name)
    return list(dict.fromkeys(tasks))


def tasks_to_export(model: Any, tasks: Any) -> list[str]:
    """Returns the names of consolidated tasks, by default of all."""
    if tasks is None:
        tasks = model.bank.tasks if model.bank else ()
    names = checked_tasks(tasks)
    if not names:
        raise ValueError("There is no consolidated task to export.")
    return [consolidated_task(model, name) for name in names]


def check_min_agreement(min_agreement: Any) -> None:
    """Refuses what is no fraction of predictions."""
    check_numbers(min_agreement=min_agreement)
    if not 0 <= min_agreement <= 1:
        raise ValueError(
            "`min_agreement` is a fraction of the predictions, from 0 to 1. "
            f"Received: {min_agreement!r}"
        )


def check_no_text(model: Any) -> None:
    """Refuses a model that takes text, and names what makes numbers of it."""
    parts = tree.flatten(model.switch.inputs)
    inputs = [part.name for part in parts if part.dtype == "string"]
    if not inputs:
        return
    layers = [
        f"'{layer.name}' ({type(layer).__name__})"
        for layer in flatten_layers(model.backbone)
        if isinstance(layer, READERS_OF_TEXT)
    ]
    where = ", ".join(layers) or f"the input '{inputs[0]}'"
    raise ExportError(
        f"The backbone takes text, in {where}, which LiteRT has no built-in "
        "operators for. Export the task with `format='tf_saved_model'`, which "
        "holds the vocabulary. Or make the model of the layers behind the "
        "text, and give it what `TextVectorization` or `StringLookup` "
        "returns: `dataset.map(lambda x, y: (vectorization(x), y))`."
    )


def check_policies(model: Any, task: str) -> None:
    """Refuses layers that compute in 16 bits: LiteRT lacks kernels for them."""
    with model.switch.reading(task):
        layers = flatten_layers(model.backbone)
        layers += flatten_layers(model.heads.head)
    names = {
        f"'{layer.name}' ({layer.dtype_policy.name})"
        for layer in layers
        if layer.weights and layer.compute_dtype in ("float16", "bfloat16")
    }
    if names:
        raise ExportError(
            "LiteRT has no kernels for layers that compute in 16 bits, and "
            "these cannot be made to compute in float32 by their "
            f"configuration: {', '.join(sorted(names))}. Make the model and "
            "its heads under `keras.config.set_dtype_policy('float32')`, load "
            "the tasks with `load_weights`, and export that."
        )


def check_by_task(argument: str, given: Any, tasks: list[str]) -> None:
    """Refuses anything but `None` or a dict by the names of tasks."""
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(
            f"`{argument}` must be a dict with the names of tasks for keys, "
            f"one of {tasks}. Received an object of type "
            f"{type(given).__name__}."
        )
    unknown = sorted(set(given or ()) - set(tasks))
    if unknown:
        raise ValueError(
            f"`{argument}` is a dict by task, and the bundle has no tasks "
            f"{unknown}. It has: {tasks}"
        )
