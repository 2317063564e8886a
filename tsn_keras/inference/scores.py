"""Scores of how well inputs fit a task, and what is stored for them."""

import abc
import base64
import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from tsn_keras.data import check_integers

# A logarithm of less is as good as this.
SMALLEST = 1e-7
# What a row of probabilities may differ from 1 in the sum.
ROUNDING = 1e-3
WIDTHS = 1, 8
Outputs = list[np.ndarray] | None


class Inference(abc.ABC):
    """Base class of the scores that tell tasks apart.

    A score is a number for each example, higher where the example is more
    like those of the task. `learn` returns what it has to know of a task. Any
    scale will do: scores are compared by their mean and deviation on the
    task's validation data.

    Attributes:
        needs_outputs: Whether the task has to predict the examples first, and
            its outputs are logits or probabilities.
        widths: Bits for each array that `learn` returns, 1 to 8, 16 or 32.
    """

    needs_outputs = True
    widths: tuple[int, ...] = ()

    @abc.abstractmethod
    def learn(self, x: Any, outputs: Outputs) -> list[np.ndarray]:
        """Returns what is stored of a task, float32 arrays.

        Args:
            x: Inputs of its validation data, a nest of arrays.
            outputs: What the task puts out for them, one array for each
                output of its head; `None` if it is not needed.
        """

    @abc.abstractmethod
    def score(
        self, stored: Sequence[np.ndarray], x: Any, outputs: Outputs
    ) -> np.ndarray:
        """Returns a score for each example.

        Args:
            stored: As `learn` returned it, rounded to `widths`.
            x: As in `learn`.
            outputs: As in `learn`.
        """

    def portable(
        self, stored: Sequence[np.ndarray], outputs: Sequence[str]
    ) -> dict[str, Any] | None:
        """Returns what `lite.TaskRunner` needs for the score, as JSON has it.

        Args:
            outputs: Names of the outputs of the task's head, in their order.

        Returns:
            A dict with a `kind` that the runner knows; `None` for a score that
            it does not know.
        """
        return None

    def get_config(self) -> dict[str, Any]:
        is_data = dataclasses.is_dataclass(self)
        return dataclasses.asdict(self) if is_data else {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Inference":
        return cls(**config)


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class Confidence(Inference):
    """How sure a task is of its own answer.

    For logits it is their energy (Liu et al., "Energy-based out-of-distribution
    detection", NeurIPS 2020), for probabilities of classes the negative
    entropy, for a number or several labels how far they are from undecided:

    `energy = log(sum(exp(logits)))`

    The mean and the deviation that every score has are the temperature and the
    offset of the head. Beside them a number is stored for each output: whether
    it is logits, probabilities of classes, or numbers and labels of their own.
    Each task has to predict the examples.

    Example:

    >>> score = Confidence().score
    >>> logits = [np.float32([[5.0, 0.0], [0.1, 0.0]])]
    >>> stored = Confidence().learn(None, logits)
    >>> score(stored, None, logits).round(2).tolist()
    [5.01, 0.74]
    """

    widths = (32,)

    def learn(self, x: Any, outputs: Outputs) -> list[np.ndarray]:
        return [np.float32([_kind(output) for output in outputs])]

    def score(
        self, stored: Sequence[np.ndarray], x: Any, outputs: Outputs
    ) -> np.ndarray:
        (kinds,) = stored
        found = [
            CONFIDENCES[int(kind)](_rows(output))
            for kind, output in zip(kinds, outputs, strict=True)
        ]
        return np.mean(found, axis=0)

    def portable(
        self, stored: Sequence[np.ndarray], outputs: Sequence[str]
    ) -> dict[str, Any]:
        names = [CONFIDENCES[int(kind)].__name__[1:] for kind in stored[0]]
        return {"kind": "confidence", "outputs": dict(zip(outputs, names))}


def _rows(output: np.ndarray) -> np.ndarray:
    return np.asarray(output, np.float64).reshape(len(output), -1)


def _kind(output: np.ndarray) -> int:
    """Returns which of `CONFIDENCES` fits all outputs of a task."""
    rows = _rows(output)
    within = rows.min(initial=0.0) >= 0.0 and rows.max(initial=0.0) <= 1.0
    sums = np.abs(rows.sum(axis=1) - 1.0)
    if rows.shape[1] == 1:
        return CONFIDENCES.index(_decided if within else _far)
    if within and sums.max(initial=0.0) < ROUNDING:
        return CONFIDENCES.index(_negative_entropy)
    return CONFIDENCES.index(_decided if within else _energy)


def _energy(rows: np.ndarray) -> np.ndarray:
    highest = rows.max(axis=1)
    return highest + np.log(np.exp(rows - highest[:, None]).sum(axis=1))


def _negative_entropy(rows: np.ndarray) -> np.ndarray:
    return (rows * np.log(rows.clip(SMALLEST))).sum(axis=1)


def _decided(rows: np.ndarray) -> np.ndarray:
    rows = rows.clip(SMALLEST, 1.0 - SMALLEST)
    return _far(np.log(rows / (1.0 - rows)))


def _far(rows: np.ndarray) -> np.ndarray:
    return np.abs(rows).mean(axis=1)


# Of logits, of probabilities of classes, of probabilities that are each for
# themselves, and of single logits. Their numbers are stored.
CONFIDENCES = [_energy, _negative_entropy, _decided, _far]


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class InputMeans(Inference):
    """How near an input is to the mean of the task's inputs.

    `score = -mean((x - mean) ** 2)`

    No network is run for it, so many tasks take hardly more time than one. It
    tells tasks apart whose inputs differ as such: other sensors, pixels in
    another order, drawings and photographs. It does not where tasks are other
    classes of the same kind of pictures.

    Args:
        width: bits a mean, 1 to 8.
        most: how many means are stored of a task. An input of more entries
            is taken in so many parts of neighbours, each by its mean.

    Example:

    >>> means = InputMeans(width=8)
    >>> stored = means.learn(np.float32([[1.0, 0.0], [1.0, 0.2]]), None)
    >>> x = np.float32([[1.0, 0.0], [0.0, 1.0]])
    >>> means.score(stored, x, None).round(2).tolist()
    [-0.01, -0.9]
    """

    width: int = 4
    most: int = 1024

    needs_outputs = False

    def __post_init__(self):
        check_integers(lowest=1, width=self.width, most=self.most)
        if self.width > WIDTHS[1]:
            raise ValueError(
                f"`width` must be from {WIDTHS[0]} to {WIDTHS[1]} bits. "
                f"Received: width={self.width}"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.width,)

    def learn(self, x: Any, outputs: Outputs) -> list[np.ndarray]:
        return [self._parts(x).mean(axis=0)]

    def score(
        self, stored: Sequence[np.ndarray], x: Any, outputs: Outputs
    ) -> np.ndarray:
        parts, (mean,) = self._parts(x), stored
        if parts.shape[1] != mean.size:
            raise ValueError(
                f"`x` has {parts.shape[1]} entries a row, and the task learned "
                f"{mean.size}. Give inputs of the same shape."
            )
        far = parts - mean
        return -np.einsum("ij,ij->i", far, far) / np.float64(mean.size)

    def portable(
        self, stored: Sequence[np.ndarray], outputs: Sequence[str]
    ) -> dict[str, Any]:
        (means,) = stored
        lowest = float(means.min())
        # Values of 1, 2, 4 and 8 bits are among these, since 255 = 15 * 17.
        step = float(np.ptp(means)) / 255 or 1.0
        codes = np.rint((means - lowest) / step).astype(np.uint8)
        packed = base64.b64encode(zlib.compress(codes.tobytes(), 9)).decode()
        count = int(means.size)
        return {
            "kind": "input_means",
            "lowest": lowest,
            "step": step,
            "count": count,
            "codes": packed,
        }

    def _parts(self, x: Any) -> np.ndarray:
        parts = list(map(np.asarray, tree.flatten(x)))
        kinds = {part.dtype.kind for part in parts}
        if not kinds <= set("fiub"):
            raise TypeError(
                "The mean of inputs needs numbers, and `x` has other entries: "
                f"{[part.dtype.name for part in parts]}. Give "
                "`inference=tsn_keras.inference.Confidence()`."
            )
        parts = [part.reshape(len(part), -1) for part in parts]
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        # Sums depend on how entries lie in memory.
        rows = np.ascontiguousarray(rows, np.float32)
        size = rows.shape[1]
        if size <= self.most:
            return rows
        ends = np.linspace(0, size, self.most + 1).astype(int)
        sums = np.add.reduceat(rows, ends[:-1], axis=1)
        return sums / np.diff(ends).astype(np.float32)
