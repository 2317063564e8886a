"""Data, network and protocol of each published benchmark."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from examples.published_benchmarks import networks, tiny_imagenet
from tsn_keras import scenarios

# Of SHORT, tasks and epochs that prove that a method works.
PRESETS = PAPER, SHORT = "paper", "short"
ORDERS = NATURAL, SHUFFLED = "natural", "shuffled"


@dataclasses.dataclass(frozen=True)
class Request:
    """What the tasks of a job are made of.

    Args:
        data_dir: TFDS folder; None to download.
        folders: Of data sets that TFDS does not have, by flag.
        order: Of classes, if they are divided among tasks.
    """

    num_tasks: int
    batch_size: int
    seed: int
    order: str = NATURAL
    data_dir: str | None = None
    folders: tuple[tuple[str, str | None], ...] = ()

    def folder(self, flag: str) -> str | None:
        return dict(self.folders).get(flag)


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One published benchmark.

    Args:
        make_tasks: Function of a `Request`.
        make_backbone: Function of the shape of one input.
        num_tasks: By preset, as are `epochs`. Those of `paper` are as in WSN.
        decays: Whether the learning rate falls to 0 along a cosine.
        gigabytes: What the data take in memory, roughly.
        steps_per_execution: As in `compile`.
    """

    title: str
    make_tasks: Callable[[Request], Sequence]
    make_backbone: Callable[[tuple[int, ...]], keras.Model]
    num_tasks: dict[str, int]
    epochs: dict[str, int]
    batch_size: int
    gigabytes: float
    decays: bool = True
    learning_rate: float = 1e-3
    steps_per_execution: int = 1


def from_tfds(
    request: Request, name: str, **keys: Any
) -> scenarios.ImageData:
    """Reads a data set of TFDS; one that is missing is an error of its own."""
    download = request.data_dir is None
    return scenarios.ImageData.from_tfds(
        name, data_dir=request.data_dir, download=download, **keys
    )


def permuted_mnist(request: Request) -> Sequence:
    return scenarios.PermutedPixels(
        from_tfds(request, "mnist"),
        request.num_tasks,
        request.seed,
        validation_split=0.1,
        batch_size=request.batch_size,
    )


def split_classes(
    request: Request, data: scenarios.ImageData, size: int, held_out: float
) -> Sequence:
    """Divides the classes, in their order or in one that the seed shuffles."""
    order = None
    if request.order == NATURAL:
        order = range(data.num_classes)
    return scenarios.ClassSplits(
        data,
        request.num_tasks,
        size,
        class_order=order,
        seed=request.seed,
        validation_split=held_out,
        batch_size=request.batch_size,
    )


def split_cifar100(request: Request) -> Sequence:
    data = from_tfds(request, "cifar100")
    return split_classes(request, data, 10, 0.05)


def superclasses(request: Request) -> Sequence:
    fine = from_tfds(request, "cifar100")
    coarse = from_tfds(request, "cifar100", label_key="coarse_label")
    order = superclass_order(fine.train[1], coarse.train[1])
    if request.order == SHUFFLED:
        generator = np.random.default_rng(request.seed)
        order = generator.permutation(order.reshape(-1, 5)).reshape(-1)
    return scenarios.ClassSplits(
        fine,
        request.num_tasks,
        5,
        class_order=order.tolist(),
        seed=request.seed,
        validation_split=0.05,
        batch_size=request.batch_size,
    )


def superclass_order(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Returns the classes, those of a superclass together.

    >>> superclass_order(np.array([0, 1, 2, 3]), np.array([1, 0, 1, 0]))
    array([1, 3, 0, 2])
    """
    classes, first = np.unique(fine, return_index=True)
    return classes[np.argsort(coarse[first], kind="stable")]


def tiny_imagenet_tasks(request: Request) -> Sequence:
    data = tiny_imagenet.read(request.folder("tiny_imagenet"))
    return split_classes(request, data, 5, 0.1)


def five_datasets(request: Request) -> Sequence:
    """CIFAR-10, MNIST, SVHN, Fashion MNIST and notMNIST, all 32 x 32 x 3."""
    size = (32, 32)
    names = ["cifar10", "mnist", "svhn_cropped", "fashion_mnist"]
    first = scenarios.from_tfds(
        names[: request.num_tasks],
        request.data_dir,
        image_size=size,
        batch_size=request.batch_size,
        validation_split=0.05,
        seed=request.seed,
        download=request.data_dir is None,
    )
    tasks = list(first)
    if request.num_tasks > len(names):
        tasks += not_mnist(request, size)
    return tasks


def not_mnist(request: Request, size: tuple[int, int]) -> list:
    folder = request.folder("not_mnist")
    remedy = (
        "`--not_mnist` must be the folder `notMNIST_small`, with a folder of "
        "images for each letter from A to J"
    )
    if folder is None:
        raise ValueError(f"There is no data set to read. {remedy}.")
    for letter in "ABCDEFGHIJ":
        path = pathlib.Path(folder, letter)
        if not path.is_dir():
            raise FileNotFoundError(f"'{path}' is missing. {remedy}.")
    return list(
        scenarios.from_image_folders(
            {"not_mnist": folder},
            size,
            color_mode="rgb",
            batch_size=request.batch_size,
            validation_split=0.05,
            seed=request.seed,
            verbose=False,
        )
    )


def omniglot_rotation(request: Request) -> Sequence:
    data = from_tfds(
        request, "omniglot", train_split="train", test_split="test",
        image_size=(28, 28),
    )
    characters = -(-12 * request.num_tasks // 4)
    return split_classes(request, rotated_classes(data, characters), 12, 0.05)


def rotated_classes(
    data: scenarios.ImageData, characters: int, held_out: int = 5
) -> scenarios.ImageData:
    """Makes four classes of each character: it, and it turned by 90 degrees.

    TFDS has all drawings of a character in one part. Of each the last
    `held_out` test.
    """
    images = np.concatenate([data.train[0], data.test[0]])
    labels = np.concatenate([data.train[1], data.test[1]])
    parts: dict[str, list] = {"train": [], "test": []}
    for number, label in enumerate(np.unique(labels)[:characters]):
        drawings = images[labels == label]
        for turns in range(4):
            turned = np.rot90(drawings, turns, axes=(1, 2))
            new = np.full(len(turned), 4 * number + turns)
            parts["train"].append((turned[:-held_out], new[:-held_out]))
            parts["test"].append((turned[-held_out:], new[-held_out:]))
    train, test = (
        tuple(map(np.concatenate, zip(*parts[part]))) for part in parts
    )
    return scenarios.ImageData(train, test)


BENCHMARKS = {
    "permuted_mnist": Benchmark(
        "Permuted MNIST, 10 tasks, MLP 100-100",
        permuted_mnist,
        networks.mlp,
        num_tasks={PAPER: 10, SHORT: 3},
        epochs={PAPER: 5, SHORT: 1},
        batch_size=10,
        gigabytes=0.1,
        decays=False,
        steps_per_execution=50,
    ),
    "permuted_mnist_250": Benchmark(
        "Permuted MNIST, 250 tasks, MLP 300-100",
        permuted_mnist,
        functools.partial(networks.mlp, first=300),
        num_tasks={PAPER: 250, SHORT: 3},
        epochs={PAPER: 5, SHORT: 1},
        batch_size=10,
        gigabytes=0.1,
        decays=False,
        steps_per_execution=50,
    ),
    "split_cifar100": Benchmark(
        "Split CIFAR-100, 10 tasks of 10 classes, AlexNet",
        split_cifar100,
        networks.alexnet,
        num_tasks={PAPER: 10, SHORT: 10},
        epochs={PAPER: 200, SHORT: 10},
        batch_size=64,
        gigabytes=1.5,
    ),
    # Not published: a network that any machine can train.
    "split_cifar100_convnet": Benchmark(
        "Split CIFAR-100, 10 tasks of 10 classes, a small ConvNet of ours",
        split_cifar100,
        networks.six_convolutions,
        num_tasks={PAPER: 10, SHORT: 3},
        epochs={PAPER: 25, SHORT: 5},
        batch_size=64,
        gigabytes=1.5,
    ),
    "cifar100_superclasses": Benchmark(
        "CIFAR-100 superclasses, 20 tasks of 5 classes, LeNet",
        superclasses,
        lambda shape: networks.lenet(shape, 20, 50, 800, 500),
        num_tasks={PAPER: 20, SHORT: 20},
        epochs={PAPER: 50, SHORT: 10},
        batch_size=64,
        gigabytes=1.5,
    ),
    "tiny_imagenet": Benchmark(
        "TinyImageNet, 40 tasks of 5 classes, four convolutions",
        tiny_imagenet_tasks,
        networks.four_convolutions,
        num_tasks={PAPER: 40, SHORT: 3},
        epochs={PAPER: 10, SHORT: 1},
        batch_size=10,
        gigabytes=4.0,
    ),
    "five_datasets": Benchmark(
        "Five data sets, reduced ResNet-18",
        five_datasets,
        networks.resnet18,
        num_tasks={PAPER: 5, SHORT: 2},
        epochs={PAPER: 100, SHORT: 1},
        batch_size=64,
        gigabytes=2.0,
    ),
    "omniglot_rotation": Benchmark(
        "Omniglot rotation, 100 tasks of 12 classes, LeNet",
        omniglot_rotation,
        lambda shape: networks.lenet(shape, 64, 128, 2500, 1500),
        num_tasks={PAPER: 100, SHORT: 3},
        epochs={PAPER: 100, SHORT: 1},
        batch_size=64,
        gigabytes=2.0,
    ),
}


def check_memory(
    benchmark: Benchmark, network_bytes: int, copies: int
) -> None:
    """Refuses what the machine's memory cannot hold.

    Args:
        network_bytes: Of one dense network.
        copies: How many networks are held at a time, optimizers included.

    Raises:
        MemoryError: If data and networks need more than there is in all.
    """
    needed = benchmark.gigabytes * 1e9 + network_bytes * copies
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise MemoryError(
            f"'{benchmark.title}' needs about {needed / 1e9:.1f} GB, and this "
            f"machine has {there / 1e9:.1f} GB. Run it with a smaller "
            "--num_tasks, or on another machine."
        )
