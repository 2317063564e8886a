"""Sequences of tasks, and what a task is."""

import abc
import collections.abc
import dataclasses
import operator
from collections.abc import Sequence

import tensorflow as tf

from tsn_keras import data
from tsn_keras.data import shown
from tsn_keras.names import normal_form

# What random numbers are drawn for. Each is the last number of a generator's
# seed, so that no two of them see the same random numbers.
TRANSFORM, SPLIT, SHUFFLE, CLASSES = range(4)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model learns between one `add_task` and its `consolidate`.

    The three data sets of the package's own scenarios are batched pairs
    `(x, y)` with `x` float32 of shape `[batch, *input_shape]` and `y` int64 of
    shape `[batch]`, numbered from 0 to `num_classes - 1`:

    ```python
    for task in scenario:
        model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        model.fit(task.train, validation_data=task.validation, epochs=5)
        model.consolidate(task.validation)
    ```

    Only `train` is shuffled, anew in every epoch.

    Any object will do in its place that has the attributes `name`, `train`,
    `validation` and `test`: `ScenarioRun` reads no more of a task, and
    `class_names` if there are any. `num_classes` is for whoever makes the
    heads. The data are batches as `fit` takes them: a `tf.data.Dataset`, a
    `keras.utils.PyDataset`, or another iterable that can be read again; inputs
    and labels may be of any form, such as dicts of tensors. Only the order of
    `train` may change from one reading to the next. `from_datasets` makes tasks
    from arrays.

    Args:
        name: Unique in its scenario.
        validation: Batches held out of the training data, for pruning,
            quantization and early stopping.
        num_classes: The width of the task's head; None if the labels are no
            classes.
        input_shape: Shape of one input, without the batch axis; None if the
            inputs are several or their shape is not known.
        class_names: What the classes are called, in the order of their
            labels.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    num_classes: int | None
    input_shape: tuple[int, ...] | None
    class_names: list[str] | None = dataclasses.field(default=None, hash=False)

    def __post_init__(self):
        # Folders are named in other forms of Unicode on some systems.
        if isinstance(self.name, str):
            object.__setattr__(self, "name", normal_form(self.name))


class Scenario(collections.abc.Sequence, abc.ABC):
    """A sequence of tasks.

    `scenario[i]` builds task `i`; a slice gives a list of tasks. The same
    arguments and index always give the same task: the same split, the same
    batches in the same order. Join scenarios of several kinds with
    `list(first) + list(second)`.

    A subclass defines `__len__` and `_build(index)`.

    Example:

    >>> class Blobs(tsn_keras.scenarios.Scenario):
    ...     def __len__(self):
    ...         return 2
    ...     def _build(self, index):
    ...         x = np.random.default_rng(index).random((8, 3), "float32")
    ...         batch = x, np.arange(8) % 2
    ...         data = tf.data.Dataset.from_tensors(batch)
    ...         name = f"blobs_{index}"
    ...         return tsn_keras.scenarios.Task(name, data, data, data, 2, (3,))
    >>> import tensorflow as tf
    >>> [task.name for task in Blobs()]
    ['blobs_0', 'blobs_1']
    """

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


def checked_size(image_size: Sequence[int]) -> tuple[int, int]:
    """Returns the height and width of images, and refuses what is none."""
    is_pair = isinstance(image_size, (tuple, list)) and len(image_size) == 2
    if not is_pair:
        raise TypeError(
            "`image_size` must be a pair (height, width), such as (64, 64). "
            f"Received: image_size={shown(image_size)}"
        )
    height, width = (
        checked_int("image_size", number, 1) for number in image_size
    )
    return height, width


def checked_class_names(
    names: Sequence[str] | None, num_classes: int | None, task: str = ""
) -> list[str] | None:
    """Returns class names as a list; refuses what are none, or too few.

    `task` is named in the error.
    """
    of = f" of task '{task}'" if task else ""
    try:
        names = data.checked_class_names(names)
    except (TypeError, ValueError) as error:
        text = str(error).replace("`class_names`", f"`class_names`{of}", 1)
        raise type(error)(text) from None
    if names is None:
        return None
    if num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f"`class_names`{of} has {len(names)} names for {num_classes} "
            f"classes: {shown(list(names))}. Give one name for each class, in "
            "the order of the labels."
        )
    return names
