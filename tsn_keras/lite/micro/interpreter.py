"""TFLite for Microcontrollers' own interpreter, on this machine."""

from typing import Any

import numpy as np

from tsn_keras.lite.files.flatbuffer import INT8, FlatModel
from tsn_keras.lite.micro.task_choice import TASK
from tsn_keras.lite.micro.tasks import MicroTask

# Bytes of memory, where nobody counts them.
PLENTY = 1 << 26


def has_tflite_micro() -> bool:
    """Tells whether the interpreter is installed."""
    try:
        _runtime()
    except ImportError:
        return False
    return True


def check_tflite_micro() -> None:
    """Raises an error if the interpreter is not installed."""
    _runtime()


def _runtime() -> Any:
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise ImportError(
            "Running files of microcontrollers and measuring their arena needs "
            "TFLite for Microcontrollers: pip install tflite_micro"
        ) from error
    return runtime


class MicroInterpreter:
    """Runs a file as microcontrollers do.

    It is called as an interpreter of ai-edge-litert, so that
    `tsn_keras.lite.runner.Network` can run it.

    Args:
        content: bytes of a file with one signature.
        arena: int, bytes of memory; as much as it may need by default.
        task: int, the task of a file that takes its number.
        about: `MicroTask`, the scales and classes of the task, where the
            file itself does not have them.
    """

    def __init__(
        self,
        content: bytes,
        arena: int | None = None,
        task: int | None = None,
        about: MicroTask | None = None,
    ):
        self._task, self._about = task, about
        self._model = FlatModel.from_bytes(content)
        (self._signature,) = self._model.signatures
        self._graph = self._model.graph(self._signature)
        runtime = _runtime()
        self._interpreter = runtime.Interpreter.from_bytes(
            bytes(content), arena_size=arena or PLENTY
        )

    def get_signature_runner(self) -> "MicroInterpreter":
        return self

    def get_input_details(self) -> dict[str, dict]:
        about = self._about and self._about.input_scale
        found = self._details(self._model.inputs(self._signature), about)
        return {name: each for name, each in found.items() if name != TASK}

    def get_output_details(self) -> dict[str, dict]:
        about = self._about and self._about.output_scale
        return self._details(self._model.outputs(self._signature), about)

    def _details(
        self, tensors: dict[str, int], known: tuple[float, int] | None
    ) -> dict[str, dict]:
        found = {}
        for name, index in tensors.items():
            tensor = self._graph.tensors[index]
            is_int8 = tensor.type == INT8
            scale = known or self._graph.scale(index)
            found[name] = {
                "shape_signature": np.array(tensor.shape),
                "dtype": np.int8 if is_int8 else np.int32,
                "quantization": scale if is_int8 and scale else (0.0, 0),
            }
        return found

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        inputs, outputs = (
            {index: name for name, index in tensors.items()}
            for tensors in (
                self._model.inputs(self._signature),
                self._model.outputs(self._signature),
            )
        )
        arrays[TASK] = np.array([self._task or 0], np.int32)
        for place, index in enumerate(self._graph.inputs):
            array = arrays[inputs[index]]
            self._interpreter.set_input(np.ascontiguousarray(array), place)
        self._interpreter.invoke()
        classes = self._about and self._about.classes
        return {
            outputs[index]: self._interpreter.get_output(place)[
                ..., :classes
            ].copy()
            for place, index in enumerate(self._graph.outputs)
        }
