"""Tasks from arrays and data sets that users have."""

import dataclasses
import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras.data import (
    check_arrays,
    check_integers,
    check_strings,
    labels_in_dict,
    shown,
)
from tsn_keras.scenarios import pipeline, scenario, splits
from tsn_keras.scenarios.splits import PARTS, TEST, TRAIN, VALIDATION
from tsn_keras.scenarios.task_list import TaskList

FORMS = (
    "a pair (train, validation) or three with test, each a `tf.data.Dataset`, "
    "a `keras.utils.PyDataset` or arrays (x, y); or arrays (x, y) alone, which "
    "are split"
)
BATCHES = (tf.data.Dataset, keras.utils.PyDataset)


def from_datasets(
    tasks: Mapping[str, Any],
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.2,
    seed: int = 0,
    num_classes: int | Mapping[str, int] | None = None,
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> scenario.Scenario:
    """Makes tasks from arrays, `tf.data.Dataset` or `PyDataset`.

    Inputs and labels may be of any form that `fit` takes, and are given on as
    they are: nothing is scaled. Arrays are shuffled and batched here. Data sets
    are only batched, if they give single examples; what trains should be
    shuffled by you, and the rest should not.

    Where labels are integers, they must be numbered from 0, and every part must
    have examples of every class. To know that, labels are read once, those of
    training data sets only if the number of classes is not given.

    Args:
        tasks: dict by the tasks' names, in the order of learning. Of each task
            `(train, validation)` or `(train, validation, test)`, where each is
            a data set or arrays `(x, y)`; or arrays `(x, y)` alone, which are
            split at random, those of each class alike. Without test data the
            validation data stand in for them, with a warning.
        batch_size: Examples in a training batch.
        validation_split: Fraction of arrays `(x, y)` that validate;
            `test_split` likewise.
        seed: Seed of the split and of the order of training arrays.
        num_classes: Of all tasks, or a dict by their names; by default the
            largest label plus one, or the columns of the labels. None if the
            labels are no classes.
        class_names: dict of lists: what the classes are called.

    Raises:
        ValueError: If labels do not begin with 0, or a part has none of a
            class.

    Example:

    >>> x, y = np.random.default_rng(0).random((40, 3)), np.arange(40) % 2
    >>> tasks = tsn_keras.scenarios.from_datasets(
    ...     {"even": (x, y), "odd": ((x, 1 - y), (x, 1 - y), (x, 1 - y))},
    ...     class_names={"even": ["yes", "no"]},
    ... )
    >>> [(task.name, task.num_classes, task.class_names) for task in tasks]
    [('even', 2, ['yes', 'no']), ('odd', 2, None)]
    """
    if not isinstance(tasks, Mapping):
        raise TypeError(
            "`tasks` must be a dict by the tasks' names, such as {'a': (train, "
            f"validation)}}. Received: tasks={shown(tasks)}"
        )
    if not tasks:
        raise ValueError("`tasks` is an empty dict. Give at least one task.")
    for name in tasks:
        check_strings(tasks=name)
    batch_size = scenario.checked_int("batch_size", batch_size, 1)
    seed = scenario.checked_int("seed", seed, 0)
    fractions = {"validation_split": validation_split, "test_split": test_split}
    splits.check_splits(**fractions)
    widths = by_task("num_classes", num_classes, tasks)
    names = by_task("class_names", class_names or {}, tasks)

    builders, untested = [], []
    for name, given in tasks.items():
        check_integers(lowest=1, or_none=True, num_classes=widths.get(name))
        parts = _parts(name, given, fractions, seed, batch_size)
        listed = scenario.checked_class_names(
            names.get(name), widths.get(name), name
        )
        width = widths.get(name) or (listed and len(listed))
        width = _checked_classes(name, parts, width)
        if TEST not in parts:
            untested.append(name)
            parts[TEST] = parts[VALIDATION]
        builders.append(
            functools.partial(
                _task,
                name=name,
                parts=parts,
                batch_size=batch_size,
                order_seed=splits.order_seed(seed, name),
                num_classes=width,
                class_names=listed,
            )
        )
    if untested:
        warnings.warn(
            f"The tasks {untested} have no test data: their validation data "
            "stand in, by which they were also pruned. Accuracies may be a "
            "little too good. Give (train, validation, test).",
            stacklevel=2,
        )
    return TaskList(builders)


@dataclasses.dataclass(frozen=True)
class Batches:
    """A part of a task that is given in batches."""

    data: Any

    def batches(self, batch_size, order_seed=None) -> Any:
        return self.data

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        spec = getattr(self.data, "element_spec", (None,))[0]
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            return None
        return tuple(spec.shape[1:])

    @property
    def is_endless(self) -> bool:
        if isinstance(self.data, tf.data.Dataset):
            return self.data.cardinality() == tf.data.INFINITE_CARDINALITY
        return self.data.num_batches is None

    def labels(self) -> Iterable[Any]:
        """Gives the labels of each batch, as far as there is an end."""
        data = self.data
        if isinstance(data, keras.utils.PyDataset):
            return (data[index][1] for index in range(data.num_batches))
        return (batch[1] for batch in data)


@dataclasses.dataclass(frozen=True)
class Rows:
    """A part of a task that is some rows of arrays `(x, y)`."""

    arrays: tuple
    rows: np.ndarray

    is_endless = False

    def batches(self, batch_size, order_seed=None) -> tf.data.Dataset:
        def read(rows):
            return tree.map_structure(
                lambda array: tf.gather(array, rows), self.arrays
            )

        if order_seed is None:
            one = tree.map_structure(lambda array: array[:1], self.arrays)
            size = sum(
                array.dtype.size * int(tf.size(array))
                for array in tree.flatten(one)
            )
            batch_size = pipeline.evaluation_batch_size(batch_size, size)
        return pipeline.batches_of_rows(read, self.rows, batch_size, order_seed)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        x = self.arrays[0]
        return None if tree.is_nested(x) else tuple(x.shape[1:])

    def labels(self) -> Iterable[Any]:
        take = functools.partial(tf.gather, indices=self.rows)
        return [tree.map_structure(take, self.arrays[1])]


def _task(
    name, parts, batch_size, order_seed, num_classes, class_names
) -> scenario.Task:
    return scenario.Task(
        name=name,
        train=parts[TRAIN].batches(batch_size, order_seed),
        validation=parts[VALIDATION].batches(batch_size),
        test=parts[TEST].batches(batch_size),
        num_classes=num_classes,
        input_shape=parts[TRAIN].input_shape,
        class_names=class_names and list(class_names),
    )


def by_task(argument: str, value: Any, tasks: Mapping) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        if argument == "class_names":
            raise TypeError(
                "`class_names` must be a dict of lists by the tasks' names. "
                f"Received: class_names={shown(value)}"
            )
        return dict.fromkeys(tasks, value)
    unknown = [name for name in value if name not in tasks]
    if unknown:
        raise ValueError(
            f"`{argument}` has the unknown tasks {unknown}. There are "
            f"{list(tasks)}."
        )
    return dict(value)


def _parts(
    name, given, fractions, seed, batch_size
) -> dict[str, Batches | Rows]:
    is_listed = isinstance(given, (tuple, list)) and len(given) in (2, 3)
    if not is_listed:
        more = ""
        if isinstance(given, BATCHES):
            more = (
                " Split the data set, as with `train, validation = "
                "keras.utils.split_dataset(dataset, 0.8)`."
            )
        raise TypeError(
            f"Task '{name}' must be {FORMS}. Received: {shown(given)}.{more}"
        )
    is_parts = [isinstance(part, (*BATCHES, tuple, list)) for part in given]
    if not all(is_parts):
        if any(isinstance(part, BATCHES) for part in given) or len(given) > 2:
            raise TypeError(
                f"Task '{name}' must be {FORMS}. Received: "
                f"({', '.join(type(part).__name__ for part in given)})"
            )
        return _split(name, _arrays(name, "data", given), fractions, seed)
    return {
        part: _part(name, part, data, batch_size)
        for part, data in zip(PARTS, given)
    }


def _part(name: str, part: str, data: Any, batch_size: int) -> Batches | Rows:
    if isinstance(data, (tuple, list)):
        arrays = _arrays(name, part, data)
        return Rows(arrays, np.arange(_length(arrays)))
    if isinstance(data, tf.data.Dataset):
        spec = data.element_spec
        if not isinstance(spec, tuple) or len(spec) not in (2, 3):
            advice = labels_in_dict(spec) or "Give pairs, as with `map`."
            raise ValueError(
                f"The {part} data of task '{name}' must give pairs (x, y). "
                f"They give {shown(spec)}. {advice}"
            )
        if any(getattr(s, "shape", None) == () for s in tree.flatten(spec[1])):
            data = data.batch(batch_size)
    found = Batches(data)
    if part != TRAIN and found.is_endless:
        raise ValueError(
            f"The {part} data of task '{name}' never end. Give a finite number "
            "of examples, for example `dataset.take(10)`."
        )
    return found


def _arrays(name: str, part: str, data: Sequence) -> tuple:
    """Returns arrays in host memory."""
    if len(data) not in (2, 3) or any(
        not hasattr(array, "shape") for array in tree.flatten(list(data))
    ):
        kinds = ", ".join(type(array).__name__ for array in data)
        raise TypeError(
            f"The {part} of task '{name}' must be arrays (x, y). Received: "
            f"({kinds}). Convert lists, as with `np.array`."
        )
    check_arrays(data[1], f"the labels of task '{name}'", are_labels=True)
    lengths = {len(array) if array.shape else 0 for array in tree.flatten(data)}
    if len(lengths) > 1 or not min(lengths):
        counts = " and ".join(
            str(len(array) if array.shape else 0)
            for array in tree.flatten(list(data))
        )
        raise ValueError(
            f"The {part} of task '{name}' must have as many inputs as labels, "
            f"and at least one. Received: {counts}. Check what the arrays were "
            "cut from."
        )
    return tuple(tree.map_structure(_on_host, part) for part in data)


def _on_host(array: Any) -> Any:
    kept = isinstance(array, (tf.Tensor, tf.RaggedTensor))
    return array if kept else pipeline.on_host(np.asarray(array))


def _length(arrays: tuple) -> int:
    return int(tree.flatten(arrays)[0].shape[0])


def _split(name, arrays, fractions, seed) -> dict[str, Rows]:
    fractions = {
        part: fractions[f"{part}_split"] for part in (VALIDATION, TEST)
    }
    classes = np.zeros(_length(arrays), np.int64)
    if _are_classes(arrays[1]):
        classes = np.asarray(arrays[1]).ravel()
    found, counts = np.unique(classes, return_counts=True)
    if counts.min() < 3:
        few, number = found[counts.argmin()], counts.min()
        of = f" of class {few}" if _are_classes(arrays[1]) else ""
        raise ValueError(
            f"Task '{name}' has only {number} examples{of}. It needs at least "
            "3, to train, validate and test. Add examples, or split the task "
            "yourself: (train, validation, test)."
        )
    seeds = splits.seed_of(seed, name, scenario.SPLIT)
    cut = splits.split(classes, fractions, seeds)
    return {part: Rows(arrays, rows) for part, rows in cut.items()}


def _are_classes(labels: Any) -> bool:
    """Tells whether labels are numbers of classes, one for each example."""
    if tree.is_nested(labels) or not hasattr(labels, "dtype"):
        return False
    dtype, shape = tf.as_dtype(labels.dtype), labels.shape
    is_column = len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    return (dtype.is_integer or dtype.is_bool) and is_column


def _classes(part: Batches | Rows) -> tuple[set[int] | None, int | None]:
    """Returns the classes that occur, and the columns of the labels."""
    classes, columns = None, None
    for labels in part.labels():
        if _are_classes(labels):
            found = np.unique(np.asarray(labels)).tolist()
            classes = (classes or set()) | set(map(int, found))
        elif not tree.is_nested(labels) and len(labels.shape) == 2:
            return None, labels.shape[1] if labels.shape[1] > 1 else None
        else:
            return None, None
    if classes is None:
        classes = set()
    return classes, columns


def _checked_classes(name, parts, num_classes: int | None) -> int | None:
    """Returns the number of classes; refuses parts that lack one of them."""
    classes, columns = {}, None
    for part, data in parts.items():
        is_read = isinstance(data, Rows) or part != TRAIN
        if data.is_endless or not (is_read or num_classes is None):
            continue
        classes[part], columns = _classes(data)
        if classes[part] is None:
            return num_classes or columns
        if not classes[part]:
            raise ValueError(
                f"The {part} data of task '{name}' are empty. Give examples "
                "of all classes."
            )
    every = set().union(*classes.values())
    num_classes = num_classes or max(every) + 1
    wrong = sorted(c for c in every if not 0 <= c < num_classes)
    if wrong:
        raise ValueError(
            f"Task '{name}' has the labels {wrong}, outside of the "
            f"{num_classes} classes that `num_classes`, `class_names` or the "
            f"largest label tells: labels go from 0 to {num_classes - 1}. "
            "Correct the one or the other."
        )
    if num_classes < 2:
        raise ValueError(
            f"Task '{name}' has one class only. Give at least two, or labels "
            "of floating point if it is no classification."
        )
    nowhere = sorted(set(range(num_classes)) - every)
    if nowhere:
        raise ValueError(
            f"Task '{name}' has no examples of the classes {nowhere}, of "
            f"{num_classes}: its labels are {sorted(every)}. Number "
            "the labels of every task from 0, as with `classes, y = "
            "np.unique(labels, return_inverse=True)`."
        )
    for part, found in classes.items():
        missing = sorted(every - found)
        if missing:
            raise ValueError(
                f"The {part} data of task '{name}' have no examples of the "
                f"classes {missing}, which other parts have. Every part "
                "must have every class: split the data again, those of each "
                "class alike."
            )
    return num_classes
