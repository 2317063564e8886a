"""The training data of a task, which are looked at more than once."""

import contextlib
import itertools
import math
import types
import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data.arguments import shown

EVALUATION_BATCH = 1024
HELD_OUT_ROWS = 1024

# How often data sets were read, where their order depends on it, and the number
# that this began with.
_passes = weakref.WeakKeyDictionary()


def count_passes(dataset: tf.data.Dataset, passes: tf.Variable) -> None:
    """Registers the variable that counts how often a data set was read."""
    _passes[dataset] = passes, passes.numpy()


def passes_of(data: Any) -> tf.Variable | None:
    """Returns the variable that was registered for a data set, if any."""
    is_dataset = isinstance(data, tf.data.Dataset)
    return _passes.get(data, (None,))[0] if is_dataset else None


@contextlib.contextmanager
def read_as_new(data: Any) -> Iterator[None]:
    """Lets data be read as if for the first time, and without a trace.

    That goes for data sets whose passes are counted.
    """
    passes = passes_of(data)
    if passes is None:
        yield
        return
    before = passes.numpy()
    passes.assign(_passes[data][1])
    try:
        yield
    finally:
        passes.assign(before)


def _is_arrays(x: Any) -> bool:
    if isinstance(x, (tf.data.Dataset, keras.utils.PyDataset)):
        return False
    return not isinstance(x, types.GeneratorType) and all(
        hasattr(part, "shape") for part in tree.flatten(x)
    )


def num_rows(arrays: Any) -> int:
    """Returns the length of the first axis of a nest of arrays."""
    first = next(iter(tree.flatten(arrays)), None)
    shape = getattr(first, "shape", ())
    if not len(shape):
        raise ValueError(
            "Data must be given in batches: arrays whose first axis is the "
            f"batch. Received: {shown(arrays)}"
        )
    return int(shape[0])


def _as_array(part: Any) -> Any:
    kept = part is None or isinstance(part, tf.RaggedTensor)
    return part if kept else np.asarray(part)


def _as_tensor(part: Any) -> Any:
    is_ragged = isinstance(part, tf.RaggedTensor)
    return part if is_ragged else tf.convert_to_tensor(part)


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, tf.RaggedTensor) or isinstance(other, tf.RaggedTensor):
        return one is other
    if tuple(one.shape) != tuple(other.shape):
        return False
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))


def take_rows(arrays: Any, rows) -> Any:
    """Returns some rows of a nest of arrays."""

    def take(part):
        is_text = isinstance(part, tf.Tensor) and part.dtype == tf.string
        if is_text or isinstance(part, tf.RaggedTensor):
            # Keras takes no arrays of Python's strings.
            return tf.gather(part, np.arange(part.shape[0])[rows])
        return np.asarray(part)[rows]

    return tree.map_structure(take, arrays)


def joined(batches: list) -> Any:
    """Returns batches as one: those with examples of the first one's shape.

    Sequences may have another length in each batch.
    """

    def shapes(batch):
        return [tuple(part.shape)[1:] for part in tree.flatten(batch)]

    def join(*parts):
        is_ragged = isinstance(parts[0], tf.RaggedTensor)
        return (tf.concat if is_ragged else np.concatenate)(parts, axis=0)

    alike = [batch for batch in batches if shapes(batch) == shapes(batches[0])]
    return tree.map_structure(join, *alike)


def in_full_batches(arrays: Any, size: int | None) -> list[Any]:
    """Returns arrays in batches of one size, or in one if any size will do.

    A rest is left out, and rows come again where there are too few.

    >>> [part.tolist() for part in in_full_batches(np.arange(5), 2)]
    [[0, 1], [2, 3]]
    """
    if size is None:
        return [arrays]
    count = num_rows(arrays)
    rows = np.resize(np.arange(count), max(size, count - count % size))
    starts = range(0, len(rows), size)
    return [take_rows(arrays, rows[start : start + size]) for start in starts]


def check_full_batches(counts: list[int], size: int | None, what: str) -> None:
    """Refuses batches of another size than the only one that will do.

    Args:
        counts: The rows of each batch.
        what: The argument's name.
    """
    wrong = [count for count in counts if size not in (None, count)]
    if wrong:
        raise ValueError(
            f"The backbone takes batches of exactly {size} examples, as its "
            f"`keras.Input` says, and `{what}` has one of {wrong[0]}. Give a "
            f"multiple of {size} examples, `batch_size={size}` for arrays and "
            f"`dataset.batch({size}, drop_remainder=True)` for a data set."
        )


class TrainingData:
    """What `fit(x, y, ...)` was given, to look at more than once.

    The arguments are those of `fit`. Rows that `validation_split` takes off are
    never looked at. `has_targets` tells whether there are labels, as far as
    it is known.
    """

    def __init__(
        self,
        x,
        y=None,
        sample_weight=None,
        batch_size=None,
        validation_split=0.0,
        class_weight=None,
    ):
        self.is_arrays = _is_arrays(x)
        self.y = y
        self.sample_weight = sample_weight
        self.batch_size = batch_size or 32
        self.validation_split = validation_split or 0.0
        self.class_weight = class_weight
        self.has_targets = True
        self._full = False
        self._seen = []
        self._generator = None
        if isinstance(x, types.GeneratorType):
            self._generator = x
            x = self._replay()
        self.x = x

    def _replay(self) -> Iterator:
        yield from self._seen
        yield from self._generator

    @property
    def shuffled_by_keras(self) -> bool:
        """Whether `shuffle` of `fit` says anything about the data."""
        return self.is_arrays or isinstance(self.x, keras.utils.PyDataset)

    @property
    def is_read_once(self) -> bool:
        """Whether the data cannot be started again."""
        return self._generator is not None

    def is_same(self, data: Any) -> bool:
        """Tells whether other data are these very objects, or equal arrays."""
        if isinstance(data, (tuple, list)):
            data = data[0] if data else None
        if data is self.x:
            return not self.validation_split
        if not (self.is_arrays and _is_arrays(data)):
            return False
        own, other = tree.flatten(self.x), tree.flatten(data)
        return len(own) == len(other) and all(map(_are_equal, own, other))

    def _num_rows(self) -> int:
        """The number of rows of arrays that `fit` trains with."""
        return math.floor(num_rows(self.x) * (1.0 - self.validation_split))

    def keep_batches_full(self, size: int | None) -> None:
        """Sees to it that all batches of arrays have the only size there is.

        Raises:
            ValueError: If `fit` would train with another.
        """
        self._full = size is not None
        if self._full and self.is_arrays:
            rest = self._num_rows() % self.batch_size
            counts = [self.batch_size, rest or self.batch_size]
            check_full_batches(counts, size, "x")

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Lets data be looked at without a trace.

        The order of a scenario's data set depends on how often it was read.
        That count is put back, so a task that turns out not to share is
        trained exactly as it is without sharing. Data sets that users shuffle
        go on.
        """
        passes = passes_of(self.x)
        before = None if passes is None else passes.numpy()
        try:
            yield
        finally:
            if passes is not None:
                passes.assign(before)

    def first_batches(self, rows: int) -> list[tuple]:
        """Returns batches `(x, y, sample_weight)` of about `rows` examples.

        Of arrays, evenly spaced rows are taken, since they may be sorted.
        The elements of a generator are kept for `fit`. Empty data give none.
        """
        if self.is_arrays:
            count = self._num_rows()
            if not count:
                return []
            chosen = np.linspace(0, count - 1, min(rows, count)).astype(int)
            columns = (self.x, self.y, self.sample_weight)
            batch = [c if c is None else take_rows(c, chosen) for c in columns]
            self.has_targets = self.y is not None
            return [tuple(batch)]
        taken, batches = 0, []
        for element in self.elements():
            batch = keras.utils.unpack_x_y_sample_weight(element)
            batch = tree.map_structure(_as_array, batch)
            batches.append(batch)
            self.has_targets = batch[1] is not None
            taken += num_rows(batch[0])
            if taken >= rows:
                break
        return batches

    def sample(self, rows: int) -> Any:
        """Returns the inputs of about `rows` examples, in one batch."""
        inputs = joined([x for x, _, _ in self.first_batches(rows)])
        return tree.map_structure(lambda part: part[:rows], inputs)

    def held_out(self, steps: int) -> tuple[dict, dict] | None:
        """Splits the data for a short training and its validation.

        Returns arguments of `keras.Model.fit` for about `steps` steps, and of
        `keras.Model.evaluate` on other examples, a fifth of all and 1,024 at
        most. `None` for data other than arrays and `tf.data`, and for fewer
        than five rows or two batches.
        """
        if self.is_arrays:
            return self._held_out_rows(steps)
        if not isinstance(self.x, tf.data.Dataset):
            return None
        count = int(self.x.cardinality())
        batch = self.first_batches(1)
        held = max(1, HELD_OUT_ROWS // num_rows(batch[0][0]))
        if count == tf.data.UNKNOWN_CARDINALITY:
            # Five times the examples held out are as good as any number.
            count = sum(1 for _ in self.x.take(5 * held))
        if count > 0:
            held = min(held, -(-count // 5))
        if count in (0, 1):
            return None
        training = self.x.skip(held).repeat().take(steps)
        weights = self.class_weight
        arguments = {"x": training, "class_weight": weights, "shuffle": False}
        return arguments, {"x": self.x.take(held)}

    def _held_out_rows(self, steps: int) -> tuple[dict, dict] | None:
        count = self._num_rows()
        if count < 5:
            return None
        held = min(HELD_OUT_ROWS, count // 5)
        if self._full:
            held -= held % self.batch_size
        if not held:
            return None
        order = np.random.default_rng(0).permutation(count)
        columns = dict(x=self.x, y=self.y, sample_weight=self.sample_weight)
        columns = {k: c for k, c in columns.items() if c is not None}
        wanted = np.resize(order[held:], steps * self.batch_size)
        training, held_out = (
            {name: take_rows(c, rows) for name, c in columns.items()}
            for rows in (wanted, order[:held])
        )
        training["batch_size"] = self.batch_size
        if self._full:
            held_out["batch_size"] = self.batch_size
        training["class_weight"] = self.class_weight
        return training, held_out

    def elements(self) -> Iterator:
        """Gives the elements once, of anything but arrays."""
        if isinstance(self.x, keras.utils.PyDataset):
            length = self.x.num_batches
            indices = itertools.count() if length is None else range(length)
            return (self.x[index] for index in indices)
        if self._generator is not None:
            return self._remembered()
        return iter(self.x)

    def _passes(self) -> Iterator:
        """Gives the elements again and again, if there are any."""
        is_empty = False
        while not is_empty:
            is_empty = True
            for element in self.elements():
                is_empty = False
                yield element

    def _remembered(self) -> Iterator:
        yield from list(self._seen)
        for element in self._generator:
            self._seen.append(element)
            yield element

    def batches(self, steps: int, seed: int) -> Iterator[tuple]:
        """Yields `steps` batches for more training, as Keras' tuples.

        Class weights are counted in. `seed` orders the rows of arrays. Data
        that can be read only once give no batches.
        """
        batches = iter(())
        if self.is_arrays:
            batches = self._array_batches(steps, np.random.default_rng(seed))
        elif self._generator is None:
            batches = itertools.islice(self._passes(), steps)
        for batch in batches:
            if self.class_weight is not None:
                x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
                batch = x, y, weights_of_classes(y, self.class_weight)
            yield batch

    def _array_batches(self, steps, generator) -> Iterator[tuple]:
        columns = self.x, self.y, self.sample_weight
        columns = tuple(c for c in columns if c is not None)
        count = self._num_rows()
        size = min(self.batch_size, count)
        order = np.empty(0, int)
        for _ in range(steps):
            if order.size < size:
                order = generator.permutation(count)
            rows, order = np.sort(order[:size]), order[size:]
            yield take_rows(columns, rows)


def weights_of_classes(y: Any, class_weight: dict[int, float]) -> tf.Tensor:
    """Returns the weight of each example by its class, 1.0 by default.

    Labels are classes, or have one column for each class.
    """
    labels = np.asarray(y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(axis=-1)
    weights = [class_weight.get(int(label), 1.0) for label in labels.ravel()]
    return tf.constant(weights, tf.float32, labels.shape[:1])


def evaluation_batches(data: Any, size: int | None = None) -> list[tuple]:
    """Returns validation data of any form as batches: tuples of tensors.

    Args:
        data: A tuple or list of arrays, a `tf.data.Dataset`, a `PyDataset` or
            an iterable of batches.
        size: The only batch size that will do.
    """
    batches = _evaluation_batches(data, size or EVALUATION_BATCH)
    check_full_batches(list(map(num_rows, batches)), size, "validation_data")
    return batches


def _evaluation_batches(data: Any, size: int) -> list[tuple]:
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        elements = TrainingData(data).elements()
        elements = [element for element in elements if num_rows(element)]
        return tree.map_structure(_as_tensor, elements)
    columns = tuple(column for column in data if column is not None)
    if not columns:
        return []
    starts = range(0, num_rows(columns), size)
    slices = [slice(start, start + size) for start in starts]
    batches = [take_rows(columns, rows) for rows in slices]
    return tree.map_structure(_as_tensor, batches)
