"""Runs .tflite files with ai-edge-litert."""

import contextlib
import threading
from typing import Any

import numpy as np
from keras import tree

from tsn_keras.data import (
    check_cast,
    check_flags,
    check_integers,
    dtype_name,
)
from tsn_keras.lite.checks import check_content
from tsn_keras.lite.files.conversion import part_names
from tsn_keras.lite.quiet import quiet
from tsn_keras.lite.samples import Samples

# LiteRT says once in a process that it uses XNNPACK.
_has_said = threading.Event()


def make_interpreter(
    content: bytes, xnnpack: bool = True, num_threads: int | None = None
) -> Any:
    """Returns an interpreter of ai-edge-litert.

    Args:
        xnnpack: bool, whether XNNPACK may take operators over.
        num_threads: int or `None`, for as many as LiteRT chooses.
    """
    check_content(content)
    check_flags(xnnpack=xnnpack)
    check_integers(lowest=1, or_none=True, num_threads=num_threads)
    try:
        from ai_edge_litert import interpreter as litert
    except ImportError as error:
        raise ImportError(
            "Running .tflite files needs LiteRT: pip install ai-edge-litert"
        ) from error
    resolvers = litert.OpResolverType
    plain = resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with contextlib.nullcontext() if _has_said.is_set() else quiet():
        interpreter = litert.Interpreter(
            model_content=content,
            experimental_op_resolver_type=resolvers.AUTO if xnnpack else plain,
            num_threads=num_threads,
        )
        if xnnpack and not _has_said.is_set():
            # If it fails, it fails again for who needs it.
            with contextlib.suppress(RuntimeError, ValueError):
                interpreter.allocate_tensors()
            _has_said.set()
    return interpreter


class SignatureRunner:
    """Runs the only signature of a file on any number of examples.

    Integer inputs and outputs are quantized and dequantized.
    """

    def __init__(self, interpreter: Any):
        self._runner = interpreter.get_signature_runner()
        self.inputs = self._runner.get_input_details()
        self.outputs = self._runner.get_output_details()

    @property
    def batch_size(self) -> int | None:
        """The batch size that the file was made for; `None` for any."""
        shapes = [part["shape_signature"] for part in self.inputs.values()]
        sizes = [int(shape[0]) for shape in shapes if len(shape)]
        return sizes[0] if sizes and sizes[0] != -1 else None

    def run(self, x: Any) -> dict[str, np.ndarray]:
        """Runs all rows of a nest of arrays; returns outputs by name."""
        samples = Samples(self._checked(x), None, "x")
        parts = []
        for batch in samples.batches(self.batch_size or len(samples)):
            stored = {
                name: _to_stored(array, self.inputs[name])
                for name, array in zip(self._names(x), batch)
            }
            parts.append(self._runner(**stored))
        outputs = {}
        for name, details in self.outputs.items():
            rows = np.concatenate([part[name] for part in parts])
            outputs[name] = _from_stored(rows[: len(samples)], details)
        return outputs

    def _names(self, x: Any) -> list[str]:
        names = part_names(x, "inputs")
        return list(self.inputs) if len(names) == 1 else names

    def _checked(self, x: Any) -> list[np.ndarray]:
        """Returns the flat inputs, if they are those of the file exactly."""
        names = self._names(x)
        parts = [np.asarray(part) for part in tree.flatten(x)]
        received = {n: part.shape for n, part in zip(names, parts)}
        wanted = {}
        for name, details in self.inputs.items():
            sizes = map(int, details["shape_signature"][1:])
            wanted[name] = (None, *(None if s == -1 else s for s in sizes))
        fits = received.keys() == wanted.keys() and all(
            len(shape) == len(wanted[name])
            and all(w in (None, s) for s, w in zip(shape, wanted[name]))
            for name, shape in received.items()
        )
        counts = {shape[0] for shape in received.values()} if fits else {0}
        if len(counts) > 1 or 0 in counts:
            raise ValueError(
                "`x` must have the inputs of the file, at least one row of "
                f"each, of the shapes {wanted}. Received: {received}"
            )
        for name, part in zip(names, parts):
            details = self.inputs[name]
            scale, _ = details["quantization"]
            stored = dtype_name(details["dtype"])
            check_cast(part, "float32" if scale else stored, "x")
        return parts


def _to_stored(array: np.ndarray, details: dict) -> np.ndarray:
    """Returns an input as the file takes it."""
    scale, zero = details["quantization"]
    if not scale:
        return array.astype(details["dtype"])
    limits = np.iinfo(details["dtype"])
    codes = np.rint(array / scale) + zero
    return codes.clip(limits.min, limits.max).astype(details["dtype"])


def _from_stored(array: np.ndarray, details: dict) -> np.ndarray:
    """Returns an output as the model gives it."""
    scale, zero = details["quantization"]
    if not scale:
        return array
    return np.float32(scale) * (array.astype(np.float32) - np.float32(zero))


def single_or_all(outputs: dict[str, np.ndarray]) -> Any:
    """Returns the only output, or the dict of several."""
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))
