"""What training a task changes, taken down and brought back."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator

import keras
import numpy as np

from tsn_keras.layers.masked_kernel import read

# What may be kept twice: the training of a small network must not wait for
# files, and that of a large one must not take the memory.
MOST_BYTES_IN_MEMORY = 1 << 24


def seed_states(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the states of dropout's and other random numbers in a layer."""
    return [v for v in layer.variables if v.name == "seed_generator_state"]


def training_variables(model) -> dict[str, list[keras.Variable]]:
    """Returns what is at work beyond the bank, by kind.

    Args:
        model: `ContinualModel`, with backbone and selected head built.
    """
    work = model.installation
    trainable = [kernel.kernel for kernel in work.kernels]
    scores = [k.scores for k in work.kernels if k.scores is not None]
    optimizer = []
    # A task that has not begun still has the optimizer of the one before.
    begun = model._running is None or model._running.begun
    if begun and model.compiled and model.optimizer.built:
        optimizer = model.optimizer.variables
    return {
        "kernel": trainable + scores,
        "state": work.state,
        "private": work.private,
        "seed": seed_states(model.backbone) + seed_states(model.heads.head),
        "optimizer": optimizer,
    }


class KeptArrays:
    """Arrays that are to come back: small ones here, many bytes in a file.

    The file has no name, so it goes when this object does. Where it cannot be
    written, the arrays stay in memory.

    Args:
        arrays: iterable of arrays, taken one at a time. They are copied.
    """

    def __init__(self, arrays: Iterable[np.ndarray]):
        self._kept: list[np.ndarray | tuple] = []
        self._file = None
        self._is_full = False
        in_memory = 0
        for array in arrays:
            in_memory += array.nbytes
            if in_memory > MOST_BYTES_IN_MEMORY and self._write(array):
                in_memory -= array.nbytes
                self._kept.append((array.dtype, array.shape))
            else:
                self._kept.append(array.copy())

    def _write(self, array: np.ndarray) -> bool:
        if self._is_full:
            return False
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)
            rest = _as_bytes(array)
            while rest.size:
                # The system may take less at a time.
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._is_full = True
        return not self._is_full

    def __iter__(self) -> Iterator[np.ndarray]:
        """Gives the arrays back, in their order."""
        if self._file is not None:
            self._file.seek(0)
        for kept in self._kept:
            if isinstance(kept, tuple):
                dtype, shape = kept
                kept = np.empty(shape, dtype)
                rest = _as_bytes(kept)
                while rest.size:
                    rest = rest[self._file.readinto(rest) :]
            yield kept


def _as_bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


class TrainingState:
    """The running task as it was before a `fit` that may fail.

    What a task begins with anew is not taken down before it has begun: its
    optimizer, and kernels unless they are those of the backbone. Nor is what
    its masks say.

    Args:
        model: `ContinualModel` with a running task.
    """

    def __init__(self, model):
        running = model._running
        self._progress = dataclasses.replace(running.progress)
        self._task = dataclasses.replace(running, progress=self._progress)
        self._own = [mask.own for mask in running.masks]
        self._kinds = ["private", "seed"]
        if running.begun or not model.bank.tasks:
            self._kinds.append("kernel")
        if running.begun:
            self._kinds.append("optimizer")
        self._arrays = KeptArrays(map(read, self._variables(model)))

    def _variables(self, model) -> Iterator[keras.Variable]:
        variables = training_variables(model)
        for kind in self._kinds:
            yield from variables[kind]

    def restore(self, model) -> None:
        """Brings everything back.

        Args:
            model: `ContinualModel`, the same one.
        """
        for mask, before in zip(self._task.masks, self._own):
            mask.take(before)
            mask.apply()
        for variable, value in zip(self._variables(model), self._arrays):
            variable.assign(value)
        model._running = self._task
