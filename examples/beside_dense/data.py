"""The tasks of the rows, as arrays: what a user has in memory.

Each function makes the tasks of one row from a seed and, where all data are
few, the fold that is the test part. Validation examples are a part of the
training examples, never of the test examples.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable

import numpy as np
from sklearn import datasets

from tsn_keras.scenarios import (
    ClassSplits,
    ImageData,
    PermutedPixels,
    RotatedImages,
)

FOLDS = 5
ANGLES = (0, 30, 60)
# Of the training examples; few of them need a larger part to judge by.
VALIDATION, VALIDATION_OF_MANY = 0.2, 0.1
MANY = 10_000

Pair = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Task:
    """Three pairs of inputs and labels."""

    name: str
    train: Pair
    validation: Pair
    test: Pair


@dataclasses.dataclass(frozen=True)
class Request:
    """Which tasks to make.

    Args:
        seed: Seed of all that is random in the data.
        fold: Which fifth is the test part; None where that is given.
        num_tasks: How many; fewer where the data have fewer.
        most: Examples of a part, if not all.
        data_dir: Folder of TensorFlow Datasets; None to download.
    """

    seed: int
    fold: int | None = None
    num_tasks: int = 3
    most: int | None = None
    data_dir: str | None = None


def two_parts(x: np.ndarray, y: np.ndarray, request: Request) -> list[Pair]:
    """Returns the training and the test part of a fold, in random order."""
    order = np.random.default_rng(request.seed).permutation(len(x))
    folds = np.array_split(order, FOLDS)
    test = folds.pop(request.fold)
    rows = np.concatenate(folds), test
    return [(x[part[: request.most]], y[part[: request.most]]) for part in rows]


def split_off(pair: Pair, fraction: float = VALIDATION) -> list[Pair]:
    """Returns training and validation examples of a shuffled part."""
    count = round(len(pair[0]) * fraction)
    return [tuple(a[count:] for a in pair), tuple(a[:count] for a in pair)]


def in_arrays(tasks: Iterable, shape: tuple | None = None) -> list[Task]:
    """Returns the tasks of a scenario; `shape` is that of one input."""

    def arrays(dataset):
        x, y = map(np.concatenate, zip(*dataset.as_numpy_iterator()))
        return x if shape is None else x.reshape(-1, *shape), y

    return [
        Task(t.name, *map(arrays, (t.train, t.validation, t.test)))
        for t in tasks
    ]


def permuted_columns(parts: list[Pair], request: Request) -> list[Task]:
    """Returns tasks with the columns in other orders; the first as it is."""
    tasks, columns = [], parts[0][0].shape[-1]
    for number in range(request.num_tasks):
        order = np.arange(columns)
        if number:
            order = np.random.default_rng((request.seed, number)).permutation(
                columns
            )
        shown = [(x[..., order], y) for x, y in parts]
        tasks.append(Task(f"columns_{number}", *shown))
    return tasks


def permuted(data: ImageData, request: Request, **arguments) -> list:
    return list(
        PermutedPixels(data, request.num_tasks, request.seed, **arguments)
    )


def rotated(data: ImageData, request: Request, **arguments) -> list:
    angles = ANGLES[: request.num_tasks]
    return list(RotatedImages(data, angles, request.seed, **arguments))


def digits(
    request: Request,
    images: int,
    scenario: Callable[..., list] = permuted,
    shape: tuple | None = None,
) -> list[Task]:
    """Returns tasks of scikit-learn's digits."""
    found = datasets.load_digits()
    x = np.float32(found.images / 16.0)
    train, test = two_parts(x, found.target, request)
    train = tuple(part[:images] for part in train)
    data = ImageData.from_arrays(train, test, num_classes=10)
    tasks = scenario(data, request, validation_split=VALIDATION)
    return in_arrays(tasks, shape)


@functools.cache
def image_data(name: str, data_dir: str | None) -> ImageData:
    return ImageData.from_tfds(
        name, data_dir=data_dir, download=data_dir is None
    )


def mnist(
    request: Request, images: int, scenario: Callable[..., list] = permuted
) -> list[Task]:
    """Returns tasks of MNIST with so many training images."""
    everything = image_data("mnist", request.data_dir)
    x, y = everything.train
    order = np.random.default_rng(request.seed).permutation(len(x))
    rows = order[: min(images, request.most or images)]
    test = tuple(part[: request.most] for part in everything.test)
    data = ImageData.from_arrays((x[rows], y[rows]), test, num_classes=10)
    return in_arrays(
        scenario(data, request, validation_split=validation_split(images))
    )


def cifar100(
    request: Request, images: int, classes_per_task: int = 10
) -> list[Task]:
    """Returns tasks of other classes each, with so many training images."""
    everything = image_data("cifar100", request.data_dir)
    x, y = everything.train
    order = np.random.default_rng(request.seed).permutation(len(x))
    per_class = min(images, request.most or images) // classes_per_task
    rows = np.concatenate(
        [
            order[y[order] == label][:per_class]
            for label in range(everything.num_classes)
        ]
    )
    data = ImageData.from_arrays(
        (x[rows], y[rows]), everything.test, everything.num_classes
    )
    splits = ClassSplits(
        data,
        classes_per_task=classes_per_task,
        seed=request.seed,
        validation_split=validation_split(images),
    )
    return in_arrays(splits[: request.num_tasks])


def validation_split(images: int) -> float:
    return VALIDATION_OF_MANY if images >= MANY else VALIDATION


def table(request: Request, load: Callable, standard_labels=False):
    """Returns tasks of a table, standardized by its training part."""
    x, y = load(return_X_y=True)
    train, test = two_parts(x, y, request)

    def standard(values, reference):
        spread = reference.std(axis=0)
        return np.float32((values - reference.mean(axis=0)) / spread)

    parts = []
    for x, y in (*split_off(train), test):
        if standard_labels:
            y = standard(y, train[1])[:, np.newaxis]
        parts.append((standard(x, train[0]), y))
    return permuted_columns(parts, request)


def pairs_of_digits(request: Request) -> list[Task]:
    """Returns tasks that ask which digits can be seen: several labels."""
    found = datasets.load_digits()
    x = np.float32(found.images / 16.0)
    train, test = two_parts(x, found.target, request)
    rng = np.random.default_rng((request.seed, request.fold))

    def beside_each_other(images, labels):
        other = rng.permutation(len(images))
        both = np.concatenate([images, images[other]], axis=2)
        seen = np.eye(10, dtype="float32")
        seen = np.maximum(seen[labels], seen[labels[other]])
        return both.reshape(len(both), -1), seen

    # Paired after they are divided, so that no image is in two parts.
    parts = [beside_each_other(*part) for part in (*split_off(train), test)]
    return permuted_columns(parts, request)
