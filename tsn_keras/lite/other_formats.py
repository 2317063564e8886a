"""Exports a task in the formats that Keras has: SavedModel, ONNX and others."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree

from tsn_keras.data import check_paths
from tsn_keras.files import complete_folder
from tsn_keras.lite.checks import check_folder, consolidated_task


def export_other(
    model: Any,
    export: Callable,
    filepath: str | os.PathLike,
    format: str,
    task: str | None = None,
    **kwargs: Any,
) -> None:
    """Exports a consolidated task with `export`, the model's own of Keras.

    All else is as in `keras.Model.export`.
    """
    name = consolidated_task(model, task)
    check_paths(filepath=filepath)
    path = pathlib.Path(filepath)
    check_folder(path)
    signature = kwargs.pop("input_signature", None)
    if signature is None:
        signature = [
            tree.map_structure(
                lambda part: tf.TensorSpec(part.shape, part.dtype),
                model.switch.inputs,
            )
        ]
    # Some formats have a second file beside the one that is named.
    with model.switch.using(name), complete_folder(path) as unfinished:
        try:
            export(
                str(unfinished),
                format=format,
                input_signature=signature,
                **kwargs,
            )
        except ImportError as error:
            raise ImportError(
                f"Exporting with format='{format}' needs a package that "
                f"is not installed: {error}. For 'onnx': pip install onnx "
                "tf2onnx. Format 'litert' needs none of them."
            ) from error
