"""The networks that the suites measure with."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import tsn_keras
from examples.choices import define_choices

NUM_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Network:
    """A backbone and how it is trained.

    Args:
        make: function that returns the backbone, without a head.
        shape: tuple of int, of an input.
        batch_size: int.
        steps: int, training steps of one measurement.
    """

    make: Callable[[], keras.Model]
    shape: tuple[int, ...]
    batch_size: int
    steps: int


def mlp(units: int) -> keras.Model:
    """Two hidden layers on 784 inputs."""
    hidden = [layers.Dense(units, activation="relu") for _ in range(2)]
    return keras.Sequential([keras.Input((784,)), *hidden])


def convnet() -> keras.Model:
    """Six 3x3 convolutions for images of CIFAR's size."""
    network = keras.Sequential([keras.Input((32, 32, 3))])
    for index, filters in enumerate((32, 64, 64, 128, 128, 128)):
        network.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        network.add(layers.BatchNormalization())
        network.add(layers.ReLU())
        if index % 2:
            network.add(layers.MaxPooling2D())
    network.add(layers.GlobalAveragePooling2D())
    return network


def mobilenet() -> keras.Model:
    """MobileNetV2 for images of 64 pixels, not pretrained."""
    return keras.applications.MobileNetV2(
        (64, 64, 3), include_top=False, weights=None, pooling="avg"
    )


NETWORKS = {
    "mlp_100": Network(lambda: mlp(100), (784,), 128, 500),
    "mlp_2000": Network(lambda: mlp(2000), (784,), 256, 80),
    "convnet": Network(convnet, (32, 32, 3), 64, 30),
    "mobilenet": Network(mobilenet, (64, 64, 3), 32, 30),
}


define_choices(
    "network",
    list(NETWORKS),
    list(NETWORKS),
    "What suites measure, but for imports, storage and switching.",
)


def make_batches(network: Network, steps: int) -> tf.data.Dataset:
    """Returns one batch of random numbers, `steps` times.

    Args:
        network: `Network`.
        steps: int.
    """
    random = np.random.default_rng(0)
    x = random.random((network.batch_size, *network.shape), np.float32)
    y = random.integers(0, NUM_CLASSES, network.batch_size)
    return tf.data.Dataset.from_tensors((x, y)).cache().repeat(steps)


def compile_model(model: keras.Model, **arguments) -> keras.Model:
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **arguments,
    )
    return model


def make_plain(network: Network, **arguments) -> keras.Model:
    """Returns what plain Keras trains: backbone and head."""
    head = layers.Dense(NUM_CLASSES)
    return compile_model(keras.Sequential([network.make(), head]), **arguments)


def make_continual(
    network: Network,
    pruning: str = "magnitude",
    default_strategies: bool = False,
    **arguments,
) -> tsn_keras.ContinualModel:
    """Returns a model that consolidates in no time.

    Args:
        network: `Network`.
        pruning: str, `"magnitude"` or `"scores"`.
        default_strategies: bool, whether it has those of `ContinualModel`
            instead, which take their time.
        **arguments: for `compile`.
    """
    if default_strategies:
        model = tsn_keras.ContinualModel(network.make())
        return compile_model(model, **arguments)
    strategies = {
        "magnitude": tsn_keras.pruning.MagnitudePruning,
        "scores": tsn_keras.pruning.ScorePruning,
    }
    model = tsn_keras.ContinualModel(
        network.make(),
        pruning=strategies[pruning](0.98),
        quantization=tsn_keras.quantization.AdaptiveCodebook(
            min_width=1, max_width=1, tolerance=0.9, fine_tune_steps=0
        ),
        sharing=None,
    )
    return compile_model(model, **arguments)


def begin(model: tsn_keras.ContinualModel, batches: tf.data.Dataset) -> None:
    """Adds a task and trains it for one step."""
    name = f"task_{len(model.tasks)}"
    model.add_task(name, layers.Dense(NUM_CLASSES))
    model.fit(batches.take(1), verbose=0, shuffle=False)


def restart_schedule(model: keras.Model, steps: int) -> None:
    """Lets the schedule of the running task begin anew.

    The next `fit` then costs what the training of a whole task does, where
    masks move in the first 60 % of the steps.

    Args:
        model: `ContinualModel` with a running task, or plain Keras'.
        steps: int, of that `fit`.
    """
    if isinstance(model, tsn_keras.ContinualModel):
        model.running_task.progress.restart(steps)


def add_tasks(model: tsn_keras.ContinualModel, count: int, batches) -> None:
    """Learns tasks briefly, so that the bank has something to carry."""
    for _ in range(count):
        begin(model, batches)
        model.consolidate(batches.take(1), verbose=0)
