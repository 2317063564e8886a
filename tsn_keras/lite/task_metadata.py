"""What a task's file says of the task: classes, quality, normalization."""

import json
import os
from typing import Any

import numpy as np
from keras import tree

from tsn_keras.lite.checks import read_file
from tsn_keras.lite.files.conversion import part_names
from tsn_keras.lite.files.standard_metadata import (
    LABELS,
    Network,
    Part,
    Tensor,
    read_part,
    tensor_names,
    with_metadata,
)
from tsn_keras.lite.networks.normalization import known_normalization

LABELS_FILE = "labels.txt"
TASK_FILE = "task.json"


def read_task_metadata(path: str | os.PathLike) -> dict[str, Any]:
    """Returns what a file of `tsn_keras.lite.export_task` says of its task.

    The same is in the file as TensorFlow Lite's standard metadata, which other
    tools read. The labels are there as `labels.txt`.

    Args:
        path: str or path of the file.

    Returns:
        dict: `task`, its name; `class_names`, a list or `None`; `monitor` and
        `quality`, what was validated; `normalization`, a dict of `mean` and
        `std` if the network is known to compute `(x - mean) / std` first, so
        that it takes raw values, else `None`.

    Raises:
        ValueError: If the file has none.
    """
    content = read_file(path)
    found = read_part(content, TASK_FILE)
    if found is None:
        raise ValueError(
            f"'{path}' does not say what its task is: no '{TASK_FILE}' is "
            "appended to it. Write it with `tsn_keras.lite.export_task`."
        )
    return json.loads(found)


def describe(model: Any, task: str) -> dict[str, Any]:
    """Returns what `read_task_metadata` returns of a task's file."""
    report = model.report(task)
    return {
        "task": task,
        "class_names": report.class_names,
        "monitor": report.monitor,
        "quality": round(report.quality_after, 6),
        "normalization": known_normalization(model.backbone),
    }


def with_task_metadata(
    content: bytes,
    model: Any,
    task: str,
    outputs: dict[str, np.ndarray],
    join: bool = False,
) -> bytes:
    """Returns a task's file with all that is known of the task.

    Args:
        outputs: dict of arrays by name, as the network puts them out.
        join: bool, whether equal arrays in the file are shared.
    """
    found = describe(model, task)
    quality = f"{found['monitor']} {found['quality']:.6g}"
    names, normalization = found["class_names"], found["normalization"]
    parts = [Part(TASK_FILE, "The task in JSON.", json.dumps(found).encode())]
    labelled = None
    if names is not None:
        text = "".join(f"{name}\n" for name in names).encode()
        widths = {name: array.shape[-1] for name, array in outputs.items()}
        fitting = [n for n, width in widths.items() if width == len(names)]
        if fitting:
            labelled = fitting[0]
            labels = Part(LABELS_FILE, "Names of the classes.", text, LABELS)
        else:
            what = "Names of the two answers, below and above one half."
            parts.append(Part(LABELS_FILE, what, text))
    taken, given = tensor_names(content)
    inputs = model.switch.inputs
    specs = dict(zip(part_names(inputs, "inputs"), tree.flatten(inputs)))
    what = "Input."
    if normalization is not None:
        what = (
            "Input as it is: the network computes (x - mean) / std itself, "
            f"with mean {normalization['mean']} and std {normalization['std']}."
        )
    network = Network(
        name=task,
        description=f"Task '{task}' of '{model.name}', made with tsn_keras. "
        f"Validated {quality}.",
        inputs=[
            Tensor(
                name, what, _channels(specs[name]), normalization is not None
            )
            for name in taken
        ],
        outputs=[
            Tensor(
                name,
                "Output, one number for each class."
                if name == labelled
                else "Output.",
                parts=[labels] if name == labelled else (),
            )
            for name in given
        ],
        parts=parts,
    )
    return with_metadata(content, network, join)


def _channels(spec: Any) -> int | None:
    """Returns the channels of an image, `None` for all else."""
    is_image = len(spec.shape) == 4 and spec.shape[-1] in (1, 3)
    return spec.shape[-1] if is_image else None
