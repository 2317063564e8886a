"""Measures files: size, memory and latency, side by side."""

import dataclasses
import os
import pathlib
import time
import zlib
from collections.abc import Sequence

import numpy as np

from tsn_keras.lite.arena import peak_arena
from tsn_keras.lite.interpreter import make_interpreter

# Calls in one measurement, so that the clock does not count.
CALLS = 20


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one file takes.

    Args:
        path: path of the file.
        bytes: int, its size.
        compressed_bytes: int, its size after zlib at level 9.
        arena_bytes: int, see `tsn_keras.lite.arena.peak_arena`.
        latency_ms: float, the median of a prediction.
        select_ms: float or `None`, of a bundle the median of a selection.
    """

    path: pathlib.Path
    bytes: int
    compressed_bytes: int
    arena_bytes: int
    latency_ms: float
    select_ms: float | None


class _Subject:
    """A file that is ready to be run."""

    def __init__(self, path: pathlib.Path, num_threads: int, xnnpack: bool):
        self.content = path.read_bytes()
        self.path = path
        self.interpreter = make_interpreter(self.content, xnnpack, num_threads)
        self.interpreter.allocate_tensors()
        random = np.random.default_rng(0)
        # The first subgraph is the one that predicts, in a bundle `compute`.
        for details in self.interpreter.get_input_details():
            x = random.random(details["shape"]).astype(details["dtype"])
            self.interpreter.set_tensor(details["index"], x)
        self.is_bundle = "select" in self.interpreter.get_signature_list()
        self.latencies: list[float] = []
        self.selections: list[float] = []

    def select(self) -> float:
        """Selects the first task and returns the milliseconds it took."""
        # While there is a runner, the interpreter cannot be invoked itself.
        runner = self.interpreter.get_signature_runner("select")
        start = time.perf_counter()
        runner(task=np.zeros(1, np.int32))
        return (time.perf_counter() - start) * 1e3

    def run(self) -> None:
        if self.is_bundle:
            self.selections.append(self.select())
        start = time.perf_counter()
        for _ in range(CALLS):
            self.interpreter.invoke()
        self.latencies.append((time.perf_counter() - start) / CALLS * 1e3)

    def measurement(self) -> Measurement:
        selections = self.selections
        return Measurement(
            path=self.path,
            bytes=len(self.content),
            compressed_bytes=len(zlib.compress(self.content, 9)),
            arena_bytes=peak_arena(self.content),
            latency_ms=float(np.median(self.latencies)),
            select_ms=float(np.median(selections)) if selections else None,
        )


def benchmark(
    paths: Sequence[str | os.PathLike],
    repetitions: int = 51,
    num_threads: int = 1,
    xnnpack: bool = True,
) -> list[Measurement]:
    """Measures files in turn in one process, so that ratios mean something.

    Inputs are random. Each repetition runs every file 20 times; latencies are
    medians over the repetitions.

    Args:
        paths: sequence of paths of .tflite files, task files or bundles.
        repetitions: int.
        num_threads: int.
        xnnpack: bool, whether XNNPACK may be used.

    Returns:
        list of `Measurement`, one a file.
    """
    subjects = [
        _Subject(pathlib.Path(path), num_threads, xnnpack) for path in paths
    ]
    for _ in range(repetitions):
        for subject in subjects:
            subject.run()
    return [subject.measurement() for subject in subjects]
