"""Tasks that have different classes."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from tsn_keras.data import check_integers
from tsn_keras.scenarios import image_scenario, scenario
from tsn_keras.scenarios.images import ImageData


class ClassSplits(image_scenario.ImageScenario):
    """Tasks that divide the classes among themselves.

    With k classes in a task, task `i` has the classes `order[i * k]` to
    `order[(i + 1) * k - 1]`, numbered from 0 in that order: label `c` of the
    task is class `task_classes[i][c]` of the data.

    Source: Zenke et al., 2017, Continual Learning Through Synaptic
    Intelligence.

    Args:
        classes_per_task: Either this or `num_tasks` is enough if it divides
            the number of classes. With both, only the first
            `num_tasks * classes_per_task` classes of the order are used.
        class_order: The classes to use, in this order; all of them in
            ascending order by default.
        seed: Seed of the validation splits and the order of the batches, 0 by
            default. If it is given and `class_order` is not, the classes are
            also shuffled.

    The other arguments are those of `ImageScenario`.

    Raises:
        ValueError: If a class is unknown or repeated, or the classes do not
            divide evenly.

    Example:

    >>> images = np.random.default_rng(0).random((60, 4, 4), "float32")
    >>> labels = np.arange(60) % 6
    >>> data = ImageData((images, labels), (images, labels))
    >>> tasks = ClassSplits(data, num_tasks=2)
    >>> [task.name for task in tasks]
    ['classes_0_2', 'classes_3_5']
    >>> tasks.task_classes
    ((0, 1, 2), (3, 4, 5))
    """

    def __init__(
        self,
        data: ImageData,
        num_tasks: int | None = None,
        classes_per_task: int | None = None,
        class_order: Sequence[int] | None = None,
        seed: int | None = None,
        validation_split: float = 0.1,
        batch_size: int = 32,
        flatten: bool = False,
    ) -> None:
        scenario_seed = 0 if seed is None else seed
        super().__init__(
            data, scenario_seed, validation_split, batch_size, flatten
        )
        if class_order is not None:
            order = _checked_order(class_order, data.num_classes)
        elif seed is not None:
            generator = np.random.default_rng((seed, 0, scenario.CLASSES))
            order = generator.permutation(data.num_classes).tolist()
        else:
            order = list(range(data.num_classes))
        count, size = _division(len(order), num_tasks, classes_per_task)
        self.num_tasks, self.classes_per_task = count, size
        self.task_classes = tuple(
            tuple(order[start : start + size])
            for start in range(0, count * size, size)
        )
        self._labels = data.train[1], data.test[1]
        used = [c for classes in self.task_classes for c in classes]
        for name, labels in zip(("train", "test"), self._labels):
            missing = np.setdiff1d(used, labels).tolist()
            if missing:
                raise ValueError(
                    f"The classes {missing} have no images in `data.{name}`. "
                    "Leave them out of `class_order`."
                )

    def __len__(self) -> int:
        return self.num_tasks

    def _build(self, index: int) -> scenario.Task:
        classes, names = self.task_classes[index], self.class_names
        train_rows, test_rows = (
            np.flatnonzero(np.isin(labels, classes)) for labels in self._labels
        )
        table = np.zeros(max(classes) + 1, np.int64)
        table[list(classes)] = np.arange(len(classes))

        def renumber(labels):
            # Labels of other tasks are renumbered to anything: no row of this
            # task reads them.
            bounded = tf.minimum(labels, max(classes))
            with tf.device("CPU:0"):
                return tf.gather(table, bounded)

        return self._task(
            index,
            _name(classes),
            len(classes),
            train_rows,
            test_rows,
            split_index=index,
            renumber=renumber,
            class_names=names and [names[number] for number in classes],
        )


def _name(classes):
    first, last, count = classes[0], classes[-1], len(classes)
    if count > 1 and classes == tuple(range(first, last + 1)):
        return f"classes_{first}_{last}"
    if count <= 10:
        return "classes_" + "_".join(map(str, classes))
    return f"classes_{first}_and_{count - 1}_more"


def _checked_order(class_order, num_classes):
    if isinstance(class_order, str) or not isinstance(class_order, Iterable):
        raise TypeError(
            "`class_order` must be a list of classes, such as [3, 1, 2]. "
            f"Received: class_order={class_order!r}"
        )
    order = list(class_order)
    for number in order:
        check_integers(class_order=number)
    order = [int(number) for number in order]
    unknown = sorted({c for c in order if not 0 <= c < num_classes})
    if unknown:
        raise ValueError(
            f"`class_order` has the unknown classes {unknown}. The data has "
            f"the classes 0 to {num_classes - 1}. Remove the unknown ones."
        )
    if not order or len(set(order)) < len(order):
        raise ValueError(
            "`class_order` must name at least one class, and none twice. "
            f"Received: {order}. Remove the repeated ones."
        )
    return order


def _division(num_classes, num_tasks, classes_per_task):
    """Returns the number of tasks and the classes of each."""
    both = {"num_tasks": num_tasks, "classes_per_task": classes_per_task}
    given = {
        name: scenario.checked_int(name, value, 1)
        for name, value in both.items()
        if value is not None
    }
    if not given:
        raise ValueError(
            "`num_tasks` and `classes_per_task` are both None. Pass at least "
            "one of them."
        )
    if len(given) == 2:
        if num_tasks * classes_per_task > num_classes:
            raise ValueError(
                f"`num_tasks={num_tasks}` times "
                f"`classes_per_task={classes_per_task}` is more than the "
                f"{num_classes} classes there are. Make one of them smaller."
            )
        return given["num_tasks"], given["classes_per_task"]
    ((name, value),) = given.items()
    if num_classes % value:
        raise ValueError(
            f"`{name}={value}` does not divide the {num_classes} classes. "
            "Pass both `num_tasks` and `classes_per_task` to use the first "
            "classes only, or a divisor."
        )
    other = num_classes // value
    return (value, other) if name == "num_tasks" else (other, value)
