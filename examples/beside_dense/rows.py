"""The rows of the table: data, a network, and how long it is trained."""

import dataclasses
from collections.abc import Callable
from functools import partial

import keras
from keras import layers
from sklearn import datasets

from examples import backbones
from examples.beside_dense import data

CLASSIFICATION = "classification"
REGRESSION = "regression"
SEVERAL_LABELS = "several labels"


def mlp(inputs: int, *units: int) -> keras.Model:
    hidden = [layers.Dense(n, activation="relu") for n in units]
    return keras.Sequential([keras.Input((inputs,)), *hidden])


def convnet(shape: tuple[int, ...], *channels: int) -> keras.Model:
    """Returns convolutions, each with pooling, and a dense layer."""
    network = keras.Sequential([keras.Input(shape)])
    for number in channels:
        convolution = layers.Conv2D(number, 3, padding="same")
        for layer in (convolution, layers.ReLU(), layers.MaxPooling2D()):
            network.add(layer)
    network.add(layers.Flatten())
    network.add(layers.Dense(64, activation="relu"))
    return network


def normalized_convnet() -> keras.Model:
    """Returns six convolutions, as in `examples.split_cifar100`."""
    network = keras.Sequential([keras.Input((32, 32, 3))])
    for index, channels in enumerate((24, 48, 48, 96, 96, 96)):
        strides = 1 if index else 2
        network.add(
            layers.Conv2D(
                channels, 3, strides, padding="same", use_bias=False
            )
        )
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.ReLU())
        if index in (1, 3):
            network.add(layers.MaxPooling2D())
    network.add(layers.GlobalAveragePooling2D())
    return network


def sequence_network() -> keras.Model:
    return keras.Sequential([keras.Input((8, 8)), layers.GRU(48)])


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        make_tasks: Function of a `data.Request`.
        make_backbone: Function that returns a fresh network without a head.
        epochs: What a sensible user would give.
        outputs: Width of the head.
        folds: Whether the test part is one fold of all data.
        downloads: Whether the data come from TensorFlow Datasets.
    """

    make_tasks: Callable[[data.Request], list[data.Task]]
    make_backbone: Callable[[], keras.Model]
    epochs: int
    batch_size: int = 32
    kind: str = CLASSIFICATION
    outputs: int = 10
    folds: bool = False
    downloads: bool = False

    def head(self) -> keras.layers.Layer:
        several = self.kind == SEVERAL_LABELS
        return layers.Dense(self.outputs, "sigmoid" if several else None)

    def compile(self, model: keras.Model) -> None:
        loss, metric = {
            CLASSIFICATION: (
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                "accuracy",
            ),
            REGRESSION: ("mse", keras.metrics.R2Score()),
            SEVERAL_LABELS: ("binary_crossentropy", "binary_accuracy"),
        }[self.kind]
        model.compile("adam", loss, metrics=[metric])


_small_convnet = partial(convnet, (8, 8, 1), 16, 32)
_convnet = partial(convnet, (28, 28, 1), 16, 32)
_mlp = partial(mlp, 784, 256, 128)
_mobilenet = partial(backbones.application, "MobileNetV2", alpha=0.35)
_folds = {"folds": True, "batch_size": 16}
_tfds = {"downloads": True}

ROWS = {
    "digits_300": Row(
        partial(data.digits, images=300),
        partial(mlp, 64, 128, 128),
        epochs=25,
        **_folds,
    ),
    "digits_1347": Row(
        partial(data.digits, images=1347, scenario=data.rotated),
        _small_convnet,
        epochs=20,
        **_folds,
    ),
    "mnist_300_mlp": Row(
        partial(data.mnist, images=300), _mlp, epochs=15, batch_size=16, **_tfds
    ),
    "mnist_300_convnet": Row(
        partial(data.mnist, images=300, scenario=data.rotated),
        _convnet,
        epochs=20,
        batch_size=16,
        **_tfds,
    ),
    "mnist_3000_mlp": Row(
        partial(data.mnist, images=3000), _mlp, epochs=10, **_tfds
    ),
    "mnist_3000_convnet": Row(
        partial(data.mnist, images=3000, scenario=data.rotated),
        _convnet,
        epochs=10,
        **_tfds,
    ),
    # All 60,000, and a tenth of them to validate with.
    "mnist_54000_mlp": Row(
        partial(data.mnist, images=60_000),
        _mlp,
        epochs=5,
        batch_size=64,
        **_tfds,
    ),
    "mnist_54000_convnet": Row(
        partial(data.mnist, images=60_000, scenario=data.rotated),
        _convnet,
        epochs=5,
        batch_size=64,
        **_tfds,
    ),
    "cifar100_500_convnet": Row(
        partial(data.cifar100, images=500),
        normalized_convnet,
        epochs=30,
        batch_size=16,
        **_tfds,
    ),
    "cifar100_5000_convnet": Row(
        partial(data.cifar100, images=5000),
        normalized_convnet,
        epochs=15,
        batch_size=64,
        **_tfds,
    ),
    "cifar100_500_mobilenet": Row(
        partial(data.cifar100, images=500),
        _mobilenet,
        epochs=30,
        batch_size=16,
        **_tfds,
    ),
    "cifar100_5000_mobilenet": Row(
        partial(data.cifar100, images=5000),
        _mobilenet,
        epochs=15,
        **_tfds,
    ),
    "wine": Row(
        partial(data.table, load=datasets.load_wine),
        partial(mlp, 13, 32, 32),
        epochs=30,
        outputs=3,
        **_folds,
    ),
    "breast_cancer": Row(
        partial(data.table, load=datasets.load_breast_cancer),
        partial(mlp, 30, 64, 32),
        epochs=20,
        outputs=2,
        **_folds,
    ),
    "diabetes": Row(
        partial(data.table, load=datasets.load_diabetes, standard_labels=True),
        partial(mlp, 10, 32, 32),
        epochs=20,
        kind=REGRESSION,
        outputs=1,
        **_folds,
    ),
    "several_digits": Row(
        data.pairs_of_digits,
        partial(mlp, 128, 128, 64),
        epochs=20,
        kind=SEVERAL_LABELS,
        **_folds,
    ),
    "sequences": Row(
        partial(data.digits, images=1347, shape=(8, 8)),
        sequence_network,
        epochs=40,
        **_folds,
    ),
}
# Those that the grid of fixed sparsities and widths is made for.
GRID_ROWS = (
    "digits_1347",
    "mnist_3000_mlp",
    "mnist_3000_convnet",
    "cifar100_5000_convnet",
)
