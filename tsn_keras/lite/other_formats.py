"""Exports a task in the formats that Keras has: SavedModel, ONNX and others."""

import functools
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras.data import check_paths
from tsn_keras.files import complete_folder
from tsn_keras.keras_internals import flatten_layers
from tsn_keras.layers import computing_with
from tsn_keras.lite.checks import check_folder, consolidated_task
from tsn_keras.lite.files.conversion import Holder
from tsn_keras.lite.networks.run_with_values import task_values, task_variables
from tsn_keras.lite.quiet import quiet


def export_other(
    model: Any,
    filepath: str | os.PathLike,
    format: str,
    task: str | None = None,
    **kwargs: Any,
) -> None:
    """Exports a consolidated task as Keras exports any model.

    All else is as in `keras.Model.export`, but that nothing is printed unless
    `verbose` is given.
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
    network = _TaskNetwork(model, name)
    # Some formats have a second file beside the one that is named.
    tracing = model.compiled_heads.tracing
    with complete_folder(path) as unfinished, tracing:
        try:
            with quiet():
                network.export(
                    str(unfinished),
                    format=format,
                    input_signature=signature,
                    **{"verbose": False, **kwargs},
                )
        except ImportError as error:
            raise ImportError(
                f"Exporting with format='{format}' needs a package that "
                f"is not installed: {error}. For 'onnx': pip install onnx "
                "tf2onnx. Format 'litert' needs none of them."
            ) from error


class _TaskNetwork(keras.Model):
    """One task of a model, with its values in variables of its own.

    A file of it holds these values, and nothing of other tasks. Keras changes
    what it exports for a while; the model itself stays as it is, and may be
    trained in another thread.
    """

    def __init__(self, model: Any, task: str):
        super().__init__(name=model.name, dtype=model.dtype_policy)
        with model.switch.reading(task):
            variables = task_variables(model)
            layers = flatten_layers(model.backbone)
            layers += flatten_layers(model.heads.head)
        values = [
            self.add_weight(
                shape=variable.shape,
                initializer=lambda shape, dtype, value=value: value,
                dtype=variable.dtype,
                trainable=variable.trainable,
                name=variable.path.replace("/", "_"),
            )
            for variable, value in zip(variables, task_values(model, task))
        ]
        # In a function: as an attribute the model would be saved as well.
        self.compute = functools.partial(
            _compute, model, model.bank[task].head, list(zip(variables, values))
        )
        self.tables = Holder(_tables(layers))
        self.built = True

    def call(self, inputs):
        return self.compute(inputs)


def _compute(model: Any, head: int, pairs: list, inputs: Any) -> Any:
    with model.heads.reading(head), computing_with(pairs):
        return model(inputs, training=False)


def _tables(layers: Iterable[keras.layers.Layer]) -> list:
    """Returns the tables that layers look up, which a file has to hold."""
    return [
        part
        for layer in layers
        for part in tf.train.TrackableView(layer).descendants()
        if isinstance(part, tf.saved_model.experimental.TrackableResource)
    ]
