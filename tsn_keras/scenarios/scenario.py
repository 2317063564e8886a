"""Sequences of tasks, and what all of them have in common."""

import abc
import collections.abc
import dataclasses
import math
import operator
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tsn_keras.data import check_flags, check_numbers, shown
from tsn_keras.scenarios import pipeline
from tsn_keras.scenarios.images import ImageData

# What random numbers are drawn for. Each is the last number of a generator's
# seed, so that no two of them see the same random numbers.
TRANSFORM, SPLIT, SHUFFLE, CLASSES = range(4)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model learns between one `add_task` and its `consolidate`.

    The three data sets are batched pairs `(x, y)` with `x` float32 of shape
    `[batch, *input_shape]` and `y` int64 of shape `[batch]`, numbered from 0
    to `num_classes - 1`:

    ```python
    for task in scenario:
        model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        model.fit(task.train, validation_data=task.validation, epochs=5)
        model.consolidate(task.validation)
    ```

    Only `train` is shuffled, anew in every epoch.

    Args:
        name: Unique in its scenario.
        validation: Batches held out of the training images, for pruning,
            quantization and early stopping.
        num_classes: The width of the task's head.
        input_shape: Shape of one input, without the batch axis.
        class_names: Names of the classes, where they are known.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    num_classes: int
    input_shape: tuple[int, ...]
    class_names: list[str] | None = None


class Scenario(collections.abc.Sequence, abc.ABC):
    """A sequence of tasks made from one set of images.

    `scenario[i]` builds task `i`; a slice gives a list of tasks. The images
    are held once and are transformed batch by batch as they are read, so any
    number of tasks takes little more memory than one. The same arguments and
    index always give the same task: the same split, the same batches in the
    same order. Join scenarios of several kinds with
    `list(first) + list(second)`.

    A subclass defines `__len__` and `_build(index)`, which calls `_task`.

    Args:
        seed: Seed of everything random, an integer >= 0.
        validation_split: Fraction of the training images that validate.
        batch_size: Images in a training batch.
        flatten: Whether the inputs are `[height * width * channels]` instead
            of `[height, width, channels]`.
    """

    def __init__(
        self,
        data: ImageData,
        seed: int = 0,
        validation_split: float = 0.1,
        batch_size: int = 32,
        flatten: bool = False,
    ) -> None:
        if not isinstance(data, ImageData):
            raise ValueError(
                "`data` must be an ImageData. Received: "
                f"{type(data).__name__}. Make one with "
                "`ImageData.from_arrays` or `ImageData.from_tfds`."
            )
        check_numbers(validation_split=validation_split)
        check_flags(flatten=flatten)
        if not 0 < validation_split < 1:
            raise ValueError(
                "`validation_split` must lie between 0 and 1, both excluded, "
                "since pruning and quantization need validation images. "
                f"Received: {validation_split}. Pass for example 0.1."
            )
        self.seed = checked_int("seed", seed, 0)
        self.batch_size = checked_int("batch_size", batch_size, 1)
        self.validation_split = float(validation_split)
        self.flatten = bool(flatten)
        self.image_shape = data.image_shape
        self.num_classes = data.num_classes
        self.class_names = data.class_names
        self._train = tuple(pipeline.on_host(part) for part in data.train)
        self._test = tuple(pipeline.on_host(part) for part in data.test)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        if self.flatten:
            return (math.prod(self.image_shape),)
        return self.image_shape

    def __getitem__(self, index: int | slice) -> Task | list[Task]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(
                "A task is looked up by its number, an integer, or by a slice. "
                f"Received: {shown(index)}"
            )
        if not -len(self) <= index < len(self):
            raise IndexError(
                f"Task {index} does not exist: the scenario has {len(self)} "
                "tasks."
            )
        return self._build(range(len(self))[index])

    @abc.abstractmethod
    def _build(self, index: int) -> Task:
        """Builds task `index`, which is in `range(len(self))`."""

    def _task(
        self,
        index: int,
        name: str,
        num_classes: int | None = None,
        train_rows: np.ndarray | None = None,
        test_rows: np.ndarray | None = None,
        split_index: int = 0,
        transform: Callable | None = None,
        renumber: Callable | None = None,
        class_names: list[str] | None = None,
    ) -> Task:
        """Builds a task from all images, or from some of their rows.

        Args:
            num_classes: That of the data by default.
            train_rows: Training images, before the validation split.
            split_index: Tasks with the same one, and the same rows, have the
                same validation images.
            transform: From float32 images `[batch, height, width, channels]`
                to as many values in any shape; None leaves them as they are.
            renumber: From labels of the data to labels of the task.
            class_names: With `num_classes`, the names of these classes.
        """
        if train_rows is None:
            train_rows = np.arange(len(self._train[0]))
        if test_rows is None:
            test_rows = np.arange(len(self._test[0]))

        def to_inputs(images):
            if transform is not None:
                images = transform(images)
            return tf.reshape(images, (-1, *self.input_shape))

        split_seed = (self.seed, split_index, SPLIT)
        rows, held_out = pipeline.split_rows(
            train_rows, self.validation_split, split_seed
        )
        order = np.random.default_rng((self.seed, index, SHUFFLE))
        order_seed = int(order.integers(2**31))
        train, test = self._train, self._test
        if renumber is not None:
            train = (train[0], renumber(train[1]))
            test = (test[0], renumber(test[1]))
        if num_classes is None:
            num_classes, class_names = self.num_classes, self.class_names
        small = self.batch_size
        large = max(small, pipeline.EVALUATION_BATCH_SIZE)
        return Task(
            name=name,
            train=pipeline.batches(*train, rows, small, to_inputs, order_seed),
            validation=pipeline.batches(*train, held_out, large, to_inputs),
            test=pipeline.batches(*test, test_rows, large, to_inputs),
            num_classes=num_classes,
            input_shape=self.input_shape,
            class_names=class_names,
        )


def checked_int(name: str, value: int, minimum: int) -> int:
    """Returns an argument that must be an integer of at least `minimum`."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < minimum:
        raise ValueError(
            f"`{name}` must be an integer >= {minimum}. Received: {value!r}. "
            f"Pass for example {name}={max(minimum, 1)}."
        )
    return number
