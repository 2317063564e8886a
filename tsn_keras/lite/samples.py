"""Examples of a task that a file is calibrated and verified with."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data import check_casts, check_shapes, in_order

MAX_SAMPLES = 256
MOST_VERIFIED = 10_000


@dataclasses.dataclass(frozen=True)
class Samples:
    """Examples in memory.

    Args:
        x: list of arrays, the flat inputs as they were given, batch first.
        y: list of arrays or `None`, the labels of each output.
        source: str, `verification_data`, `representative_data`,
            `validation_data` or `random`.
    """

    x: list[np.ndarray]
    y: list[np.ndarray] | None
    source: str

    def __len__(self) -> int:
        return len(self.x[0])

    def batches(self, size: int) -> Iterator[list[np.ndarray]]:
        """Yields the inputs in lists of arrays of `size` rows each.

        The last one is filled up with its own last row.
        """
        for start in range(0, len(self), size):
            parts = [part[start : start + size] for part in self.x]
            missing = size - len(parts[0])
            yield [
                np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
                for part in parts
            ]


def take_samples(
    data: Any,
    inputs: Any,
    name: str,
    outputs: list[str] | None = None,
    limit: int = MAX_SAMPLES,
) -> Samples:
    """Reads examples from what users pass.

    Args:
        data: nest of arrays as `inputs` is, `(x, y)`, or a
            `tf.data.Dataset` or `PyDataset` of batches of either.
        inputs: nest of `KerasTensor`, what the model takes.
        name: str, the argument's name, for errors.
        outputs: names of outputs in a list, for labels given by name.

    Sequences may have another length in each batch. Those of the first one's
    are taken.
    """
    rows, labels, count = [], [], 0
    for batch in _batches(data):
        x, y = _split(batch, inputs)
        x = _checked_inputs(x, inputs, name)
        if rows and [p.shape[1:] for p in x] != [p.shape[1:] for p in rows[0]]:
            continue
        rows.append([part[: limit - count] for part in x])
        if y is not None:
            if outputs and isinstance(y, dict) and set(outputs) <= set(y):
                y = [y[output] for output in outputs]
            parts = [np.asarray(part) for part in tree.flatten(y)]
            if any(part.shape[:1] != x[0].shape[:1] for part in parts):
                shapes = [part.shape for part in (x[0], *parts)]
                raise ValueError(
                    f"`{name}` must have one label for each example. Received "
                    f"the shapes {shapes}"
                )
            labels.append([part[: limit - count] for part in parts])
        count += len(rows[-1][0])
        if count >= limit:
            break
    if not count:
        raise ValueError(f"`{name}` has no examples.")
    x = [np.concatenate(parts) for parts in zip(*rows)]
    y = [np.concatenate(parts) for parts in zip(*labels)] or None
    return Samples(x, y, name)


def _batches(data: Any) -> Iterator:
    if isinstance(data, tf.data.Dataset):
        return data.as_numpy_iterator()
    return iter(data if isinstance(data, keras.utils.PyDataset) else [data])


def _split(batch: Any, inputs: Any) -> tuple[Any, Any]:
    """Returns inputs and labels of a batch that may have no labels."""
    same = len(tree.flatten(inputs)) == len(tree.flatten(batch))
    if same or not isinstance(batch, tuple) or len(batch) < 2:
        is_single = isinstance(batch, tuple) and len(batch) == 1
        return (batch[0] if is_single else batch), None
    return batch[0], batch[1]


def _checked_inputs(x: Any, inputs: Any, name: str) -> list[np.ndarray]:
    """Returns the flat inputs, with as many axes as the model's."""
    parts = [np.asarray(part) for part in tree.flatten(in_order(x, inputs))]
    try:
        check_shapes(x if isinstance(x, dict) else parts, inputs)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from error
    check_casts(parts, inputs, name)
    ranks = [len(spec.shape) for spec in tree.flatten(inputs)]
    return [_with_axes(part, rank) for part, rank in zip(parts, ranks)]


def _with_axes(part: np.ndarray, rank: int) -> np.ndarray:
    """Adds or takes away an axis of 1 at the end, as Keras does."""
    if part.ndim < rank:
        return part[..., None]
    return part[..., 0] if part.ndim > rank else part


def verification_samples(model: Any, task: str, data: Any) -> Samples:
    """Returns examples of `verification_data`."""
    outputs = model.heads.output_names(model.bank[task].head)
    return take_samples(
        data, model.switch.inputs, "verification_data", outputs, MOST_VERIFIED
    )


def default_samples(model: Any, task: str) -> Samples:
    """Returns what a task was validated with, or else random inputs."""
    inputs, record = model.switch.inputs, model.bank[task]
    examples = model.kept_examples.of(record)
    if examples is None:
        return random_samples(inputs)
    x, y = examples
    outputs = model.heads.output_names(record.head)
    data = x if y is None else (x, y)
    return take_samples(data, inputs, "validation_data", outputs)


def random_samples(inputs: Any, count: int = 32) -> Samples:
    """Makes seeded inputs for a model of which no example is at hand.

    Floats are standard normal, integers 0 or 1, which any vocabulary has.
    """
    random = np.random.default_rng(0)

    def make(part):
        shape = (count, *(size or 8 for size in part.shape[1:]))
        if keras.backend.is_float_dtype(part.dtype):
            return random.standard_normal(shape).astype(part.dtype)
        return random.integers(0, 2, shape).astype(part.dtype)

    parts = [make(part) for part in tree.flatten(inputs)]
    return Samples(parts, None, "random")
