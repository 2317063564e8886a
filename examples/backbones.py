"""Backbones as users bring them, small, with data that each can learn."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, tree

NUM_CLASSES = 3


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network and what it takes.

    Args:
        make: function that returns the network, without a head.
        shapes: nest of tuples of int, its inputs without the batch.
        num_tokens: int, the vocabulary if the inputs are tokens, else 0.
        head: function that returns the head of a task.
        epochs: int, what it takes to learn a task of `make_task`.
    """

    make: Callable[[], keras.layers.Layer]
    shapes: Any
    num_tokens: int = 0
    head: Callable[[], keras.layers.Layer] = functools.partial(
        layers.Dense, NUM_CLASSES
    )
    epochs: int = 4


def _is_shape(nest: Any) -> bool:
    return isinstance(nest, tuple) and all(isinstance(n, int) for n in nest)


def make_task(
    backbone: Backbone, number: int, rows: int = 96
) -> tuple[Any, np.ndarray]:
    """Returns inputs and labels; each class has its own noisy pattern.

    Args:
        backbone: `Backbone`.
        number: int, the number of the task.
        rows: int.
    """
    rng = np.random.default_rng(number)
    labels = rng.permutation(np.arange(rows) % NUM_CLASSES)

    def noisy_patterns(shape):
        size = (NUM_CLASSES, *shape)
        if backbone.num_tokens:
            patterns = rng.integers(1, backbone.num_tokens, size)
            noise = rng.integers(1, backbone.num_tokens, (rows, *shape))
            kept = rng.random(noise.shape) < 0.7
            return np.where(kept, patterns[labels], noise).astype(np.int32)
        noise = rng.normal(size=(rows, *shape))
        inputs = rng.normal(size=size)[labels] + 0.5 * noise
        return inputs.astype(np.float32)

    if _is_shape(backbone.shapes):
        return noisy_patterns(backbone.shapes), labels
    inputs = tree.map_structure_up_to(
        tree.map_shape_structure(lambda shape: 0, backbone.shapes),
        noisy_patterns,
        backbone.shapes,
    )
    return inputs, labels


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input((12,)), layers.Dense(16, activation="relu")]
    )


def functional() -> keras.Model:
    inputs = keras.Input((12,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    normal = layers.BatchNormalization()(hidden)
    return keras.Model(inputs, layers.Dense(16)(normal) + hidden)


@keras.saving.register_keras_serializable(package="examples")
class TwoLayers(keras.Model):
    """A subclassed model."""

    def __init__(self, units: int = 16, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = units
        self.first = layers.Dense(units, activation="relu")
        self.dropout = layers.Dropout(0.1)
        self.second = layers.Dense(units, activation="relu")

    def call(self, inputs, training=None):
        return self.second(self.dropout(self.first(inputs), training=training))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def nested() -> keras.Model:
    inputs = keras.Input((12,))
    return keras.Model(inputs, TwoLayers()(functional()(inputs)))


def two_inputs(kind: type = list) -> keras.Model:
    inputs = {name: keras.Input((6,), name=name) for name in ("left", "right")}
    joined = layers.Concatenate()(list(inputs.values()))
    hidden = layers.Dense(16, activation="relu")(joined)
    inputs = inputs if kind is dict else list(inputs.values())
    return keras.Model(inputs, hidden)


def two_outputs() -> keras.Model:
    inputs = keras.Input((12,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    outputs = {
        "wide": layers.Dense(16, activation="relu")(hidden),
        "narrow": layers.Dense(4)(hidden),
    }
    return keras.Model(inputs, outputs)


def joining_head() -> keras.Model:
    """Returns a head for the features of `two_outputs`."""
    features = {
        "wide": keras.Input((16,), name="wide"),
        "narrow": keras.Input((4,), name="narrow"),
    }
    joined = layers.Concatenate()([features["wide"], features["narrow"]])
    return keras.Model(features, layers.Dense(NUM_CLASSES)(joined))


def application(name: str, **arguments: Any) -> keras.Model:
    """Returns a network of `keras.applications` for images of 32x32."""
    make = getattr(keras.applications, name)
    arguments = {"input_shape": (32, 32, 3), "pooling": "avg", **arguments}
    network = make(include_top=False, weights=None, **arguments)
    return keras.models.clone_model(network, clone_function=_short_memory)


def _short_memory(layer: layers.Layer) -> layers.Layer:
    """Returns a layer whose moving statistics need few training steps."""
    config = layer.get_config()
    if isinstance(layer, layers.BatchNormalization):
        config["momentum"] = 0.8
    return type(layer).from_config(config)


@keras.saving.register_keras_serializable(package="examples")
class AddPositions(layers.Layer):
    """Adds a learned embedding of each position."""

    def build(self, input_shape) -> None:
        self.positions = layers.Embedding(*input_shape[1:], name="positions")
        self.positions.build((None,))
        self.built = True

    def call(self, inputs):
        return inputs + self.positions(keras.ops.arange(inputs.shape[1]))


def _transformer_block(x, width: int):
    normal = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, width // 2)(normal, normal)
    normal = layers.LayerNormalization()(x)
    hidden = layers.Dense(2 * width, activation="gelu")(normal)
    return x + layers.Dense(width)(hidden)


def vision_transformer() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    patches = layers.Conv2D(16, 4, strides=4)(inputs)
    x = AddPositions()(layers.Reshape((16, 16))(patches))
    x = layers.LayerNormalization()(_transformer_block(x, 16))
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def text_transformer() -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    x = AddPositions()(layers.Embedding(20, 16)(inputs))
    x = layers.LayerNormalization()(_transformer_block(x, 16))
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def recurrent(layer: layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((6, 4)), layer])


def sensor_windows() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((24, 3)),
            layers.Conv1D(8, 5, strides=2, activation="relu"),
            layers.SeparableConv1D(16, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
        ]
    )


def embedding() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(20, 16),
            layers.GlobalAveragePooling1D(),
        ]
    )


def shared_layers() -> keras.Model:
    left, right = keras.Input((8,)), keras.Input((8,))
    tower = layers.Dense(16, activation="relu")
    return keras.Model(
        [left, right], layers.Concatenate()([tower(left), tower(right)])
    )


def partly_frozen() -> keras.Model:
    """Returns a network whose first half is frozen, as pretrained ones are."""
    first = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(24, activation="relu"),
            layers.BatchNormalization(),
        ],
        name="base",
    )
    first.trainable = False
    return keras.Sequential([first, layers.Dense(16, activation="relu")])


BACKBONES = {
    "Sequential": Backbone(sequential, (12,)),
    "functional": Backbone(functional, (12,)),
    "subclassed": Backbone(TwoLayers, (12,)),
    "nested": Backbone(nested, (12,)),
    "list of inputs": Backbone(two_inputs, [(6,), (6,)]),
    "dict of inputs": Backbone(
        functools.partial(two_inputs, dict), {"left": (6,), "right": (6,)}
    ),
    "dict of outputs": Backbone(two_outputs, (12,), head=joining_head),
    "shared layers": Backbone(shared_layers, [(8,), (8,)]),
    "partly frozen": Backbone(partly_frozen, (12,)),
    "Conv1D on sensor windows": Backbone(sensor_windows, (24, 3), epochs=8),
    "Embedding": Backbone(embedding, (10,), num_tokens=20),
    "LSTM": Backbone(lambda: recurrent(layers.LSTM(12)), (6, 4)),
    "GRU": Backbone(lambda: recurrent(layers.GRU(12)), (6, 4)),
    "Bidirectional LSTM": Backbone(
        lambda: recurrent(layers.Bidirectional(layers.LSTM(8))), (6, 4)
    ),
    "Vision Transformer": Backbone(vision_transformer, (16, 16, 3)),
    "text Transformer": Backbone(text_transformer, (10,), num_tokens=20),
    "MobileNetV2": Backbone(
        functools.partial(application, "MobileNetV2", alpha=0.35),
        (32, 32, 3),
        epochs=8,
    ),
    "ResNet50V2": Backbone(
        functools.partial(application, "ResNet50V2"), (32, 32, 3), epochs=8
    ),
    "EfficientNetB0": Backbone(
        functools.partial(application, "EfficientNetB0"), (32, 32, 3), epochs=8
    ),
}
