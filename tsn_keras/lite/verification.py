"""Runs an exported file and compares it with Keras."""

import dataclasses
import os
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How an exported file compares with the model.

    Args:
        predictions_equal: bool, whether the largest output is the same for
            every example.
        largest_difference: float, the largest absolute difference of any
            output.
        logits: float32 array, what the file computed.
    """

    predictions_equal: bool
    largest_difference: float
    logits: np.ndarray


def run_file(path: str | os.PathLike, x: np.ndarray) -> np.ndarray:
    """Runs a .tflite file with one input and one output.

    Args:
        path: str or path.
        x: array of shape `(batch, ...)`.

    Returns:
        float32 array of shape `(batch, ...)`.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "Running .tflite files needs LiteRT: pip install ai-edge-litert"
        ) from error
    interpreter = Interpreter(model_path=os.fspath(path))
    details = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(details["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], x.astype(details["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def verify_file(
    model: Any, path: str | os.PathLike, x: np.ndarray, task: str
) -> Agreement:
    """Compares a task's exported file with the model on real inputs.

    Args:
        model: `tsn_keras.ContinualModel`.
        path: str or path of the .tflite file.
        x: array of shape `(batch, ...)`.
        task: str.

    Returns:
        `Agreement`.
    """
    expected = model.predict(x, task=task, verbose=0)
    logits = run_file(path, x)
    return Agreement(
        predictions_equal=bool(
            (logits.argmax(axis=-1) == expected.argmax(axis=-1)).all()
        ),
        largest_difference=float(np.abs(logits - expected).max()),
        logits=logits,
    )
