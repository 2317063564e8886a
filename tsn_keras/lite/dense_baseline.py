"""The file that all others are compared with."""

import os
import pathlib
from typing import Any

import numpy as np

from tsn_keras.lite.formats import get_precision
from tsn_keras.lite.replay import task_variables
from tsn_keras.lite.task_content import task_content
from tsn_keras.lite.task_file import checked_path, unfinished


def export_dense(
    model: Any, path: str | os.PathLike, batch_size: int | None = 1
) -> pathlib.Path:
    """Exports ONE dense float32 network of the model's architecture.

    Its weights are random. It is what a user without tsn_keras would ship
    for a single task: the yardstick of sizes and latencies.

    Args:
        model: `tsn_keras.ContinualModel`, with a head selected.
        path: str or path, ending in `.tflite`.
        batch_size: int or `None`.

    Returns:
        path of the file.
    """
    path = checked_path(path)
    random = np.random.default_rng(0)
    values = [
        random.uniform(0.01, 0.1, variable.shape).astype(variable.dtype)
        for variable in task_variables(model)
    ]
    precision = get_precision("float32")
    content, _ = task_content(model, values, precision, batch_size)
    with unfinished(path) as file:
        file.write_bytes(content)
    return path
