"""Exports a task in the formats that Keras has: SavedModel, ONNX and others."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree

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
    """Exports a consolidated task; see `keras.Model.export`.

    Args:
        model: `tsn_keras.ContinualModel`.
        export: function, Keras' own `export` of the model.
        format: str, a format of `keras.Model.export`.
        task: str or `None`. The task's name; the active one by default.
        **kwargs: As in `keras.Model.export`.
    """
    name = consolidated_task(model, task)
    path = pathlib.Path(filepath)
    check_folder(path)
    signature = kwargs.pop("input_signature", None)
    if signature is None:
        signature = [tree.map_structure(_tensor_spec, model.switch.inputs)]
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


def _tensor_spec(part: Any) -> tf.TensorSpec:
    return tf.TensorSpec(part.shape, part.dtype)
