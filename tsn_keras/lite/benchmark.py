"""Measures files: size, memory and latency, side by side."""

import dataclasses
import os
import pathlib
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tsn_keras.data import check_integers, shown
from tsn_keras.lite.checks import read_file
from tsn_keras.lite.files.flatbuffer import FlatModel, schema
from tsn_keras.lite.runner import make_interpreter

# Calls in one measurement, so that reading the clock takes no share of it.
CALLS = 20
# Bytes of an entry, by type; all other types take 1.
BYTES = {
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.INT32: 4,
    schema.TensorType.INT64: 8,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.INT16: 2,
}


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one file takes.

    Args:
        compressed_bytes: int, its size after zlib at level 9.
        arena_bytes: int, memory of all tensors alive at once at the worst
            moment; of a bundle, while `select` runs.
        latency_ms: float, the median of a prediction; of a bundle, of the
            network that `select` puts out.
        select_ms: float or `None`, of a bundle the median of its signature
            `select`.
        load_ms: float or `None`, of a bundle the median time until the
            network that was put out is ready to run.
        network_bytes: int or `None`, of a bundle the size of the network that
            it puts out, which the host keeps in memory.
    """

    path: pathlib.Path
    bytes: int
    compressed_bytes: int
    arena_bytes: int
    latency_ms: float
    select_ms: float | None
    load_ms: float | None
    network_bytes: int | None


def benchmark(
    paths: Sequence[str | os.PathLike],
    repetitions: int = 51,
    num_threads: int = 1,
    xnnpack: bool = True,
    open_size: int = 1,
) -> list[Measurement]:
    """Measures files in turn in one process, so that ratios mean something.

    Inputs are random. Each repetition runs every file 20 times; latencies are
    medians over the repetitions.

    Args:
        paths: sequence of paths of .tflite files, task files or bundles.
        xnnpack: bool, whether XNNPACK may be used.
        open_size: int, what is taken for each size that a file leaves open,
            such as the length of a sequence. An open batch is of one example.
            In `arena_bytes` such sizes count as 1.

    Raises:
        ValueError: If `open_size` is under 1.
    """
    if isinstance(paths, (str, os.PathLike)) or not isinstance(paths, Iterable):
        raise TypeError(
            "`paths` must be a list of paths. Received: "
            f"paths={shown(paths)}. Give [path] for one file."
        )
    check_integers(lowest=1, repetitions=repetitions, num_threads=num_threads)
    check_integers(open_size=open_size)
    if open_size < 1:
        raise ValueError(
            "`open_size` must be at least 1, such as the length of a usual "
            f"sequence. Received: open_size={open_size}"
        )
    settings = (xnnpack, num_threads)
    subjects = [_Subject(path, settings, open_size) for path in paths]
    for _ in range(repetitions):
        for subject in subjects:
            subject.run()
    return [subject.measurement() for subject in subjects]


class _Subject:
    """A file that is ready to be run."""

    def __init__(
        self, path: str | os.PathLike, settings: tuple, open_size: int
    ):
        self.content = read_file(path)
        self.path = pathlib.Path(path)
        self.settings, self.open_size = settings, open_size
        self.interpreter = make_interpreter(self.content, *settings)
        self.is_bundle = "select" in self.interpreter.get_signature_list()
        self.latencies: list[float] = []
        self.selections: list[float] = []
        self.loads: list[float] = []
        self.network_bytes: int | None = None
        _allocate(self.interpreter, open_size)
        _fill_inputs(self.interpreter)

    def run(self) -> None:
        network = self._selected() if self.is_bundle else self.interpreter
        start = time.perf_counter()
        for _ in range(CALLS):
            network.invoke()
        self.latencies.append(_milliseconds(start) / CALLS)

    def _selected(self) -> Any:
        """Selects the first task and returns its network, ready to run."""
        # While there is a runner, the interpreter cannot be invoked itself.
        runner = self.interpreter.get_signature_runner("select")
        start = time.perf_counter()
        file = runner(task=np.zeros(1, np.int32))["file"]
        self.selections.append(_milliseconds(start))
        self.network_bytes = file.nbytes
        start = time.perf_counter()
        network = make_interpreter(file.tobytes(), *self.settings)
        _allocate(network, self.open_size)
        self.loads.append(_milliseconds(start))
        _fill_inputs(network)
        return network

    def measurement(self) -> Measurement:
        return Measurement(
            path=self.path,
            bytes=len(self.content),
            compressed_bytes=len(zlib.compress(self.content, 9)),
            arena_bytes=peak_arena(self.content),
            latency_ms=float(np.median(self.latencies)),
            select_ms=_median(self.selections),
            load_ms=_median(self.loads),
            network_bytes=self.network_bytes,
        )


def _milliseconds(start: float) -> float:
    return (time.perf_counter() - start) * 1e3


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _allocate(interpreter: Any, open_size: int) -> None:
    """Makes an interpreter ready, with sizes where a file takes any."""
    for details in interpreter.get_input_details():
        sizes = map(int, details["shape_signature"])
        shape = [open_size if size == -1 else size for size in sizes]
        # The first axis is the batch: one example if it is open.
        shape[:1] = details["shape"][:1]
        if shape != list(details["shape"]):
            interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()


def _fill_inputs(interpreter: Any) -> None:
    """Gives random values to the inputs of the first graph."""
    random = np.random.default_rng(0)
    for details in interpreter.get_input_details():
        x = random.random(details["shape"]).astype(details["dtype"])
        interpreter.set_tensor(details["index"], x)


def peak_arena(content: bytes) -> int:
    """Returns the bytes of all tensors alive at once, at the worst moment.

    That is what a perfect planner of memory would need for the first graph of
    the file, without constants and delegates. Open sizes count as 1.
    """
    graph = FlatModel.from_bytes(content).graphs[0]
    last = len(graph.operators)
    born = dict.fromkeys(graph.inputs, 0)
    dies = dict.fromkeys(graph.outputs, last)
    for step, operator in enumerate(graph.operators):
        for index in operator.outputs:
            born.setdefault(int(index), step)
        for index in operator.inputs:
            if index not in graph.outputs:
                dies[int(index)] = step
    alive = np.zeros(last + 1, np.int64)
    for index, step in born.items():
        tensor = graph.tensors[index]
        count = int(np.abs(np.prod(tensor.shape, dtype=np.int64)))
        size = count * BYTES.get(tensor.type, 1)
        alive[step : dies.get(index, step) + 1] += size
    return int(alive.max())
