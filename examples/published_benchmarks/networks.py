"""The networks of the literature, without heads, biases or pretrained weights.

Beside them stands a small network of ours, for machines that are too slow for
those. Every task's head is a dense layer with a bias. Sources: WSN (Kang et
al., 2022) and GPM (Saha et al., 2021), whose sizes these are. LeNet here has no
local response normalization, and batch normalization uses moving statistics at
test.
"""

from collections.abc import Sequence

import keras
from keras import layers

# Moving statistics at Keras' 0.99 lag behind masks that change often.
MOMENTUM = 0.9


def mlp(shape: tuple[int, ...], first: int = 100) -> keras.Model:
    """Returns two dense layers, for permuted MNIST."""
    return keras.Sequential(
        [
            keras.Input(shape),
            _dense(first),
            _dense(100),
        ]
    )


def alexnet(shape: tuple[int, ...]) -> keras.Model:
    """Returns the AlexNet of GPM and WSN, 6,499,328 weights at 32 x 32 x 3."""
    network = keras.Sequential([keras.Input(shape)])
    for filters, size, dropped in ((64, 4, 0.2), (128, 3, 0.2), (256, 2, 0.5)):
        network.add(_convolution(filters, size, "valid"))
        network.add(layers.Dropout(dropped))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    for _ in range(2):
        network.add(_dense(2048))
        network.add(layers.Dropout(0.5))
    return network


def lenet(
    shape: tuple[int, ...], *sizes: int
) -> keras.Model:
    """Returns two convolutions of 5 x 5 and two dense layers.

    Args:
        sizes: Their channels and units, such as 20, 50, 800, 500.
    """
    network = keras.Sequential([keras.Input(shape)])
    for filters in sizes[:2]:
        network.add(_convolution(filters, 5, "same"))
        network.add(layers.MaxPooling2D(3, 2, "same"))
    network.add(layers.Flatten())
    for units in sizes[2:]:
        network.add(_dense(units))
    return network


def four_convolutions(shape: tuple[int, ...]) -> keras.Model:
    """Returns four convolutions of stride 2 and two dense layers."""
    network = keras.Sequential([keras.Input(shape)])
    for _ in range(4):
        network.add(_convolution(160, 3, "same", strides=2))
    network.add(layers.Flatten())
    for _ in range(2):
        network.add(_dense(640))
    return network


def six_convolutions(
    shape: tuple[int, ...],
    channels: Sequence[int] = (24, 48, 48, 96, 96, 96),
    dropout: float = 0.1,
) -> keras.Sequential:
    """Returns our small ConvNet, with batch normalization and global pooling.

    Args:
        dropout: Part of the features that training hides.
    """
    stages = [keras.Input(shape)]
    for index, filters in enumerate(channels):
        stages += [
            layers.Conv2D(
                filters,
                3,
                strides=1 if index else 2,
                padding="same",
                use_bias=False,
                name=f"convolution_{index}",
            ),
            layers.BatchNormalization(
                momentum=MOMENTUM, name=f"normalization_{index}"
            ),
            layers.ReLU(name=f"relu_{index}"),
        ]
        if index in (1, 3):
            stages.append(layers.MaxPooling2D(name=f"pooling_{index}"))
        if dropout and index in (1, 2, 3, 4):
            stages.append(layers.Dropout(dropout))
    stages.append(layers.GlobalAveragePooling2D(name="pooling"))
    return keras.Sequential(stages)


def resnet18(shape: tuple[int, ...], channels: int = 20) -> keras.Model:
    """Returns the reduced ResNet-18: stages of 1, 2, 4, 8 times `channels`."""
    inputs = keras.Input(shape)
    x = layers.ReLU()(_normalized(inputs, channels, 1))
    for stage in range(4):
        width = channels * 2**stage
        for block in range(2):
            strides = 2 if stage and not block else 1
            shortcut = x
            if strides == 2:
                shortcut = _normalized(x, width, strides, size=1)
            x = layers.ReLU()(_normalized(x, width, strides))
            x = layers.Add()([_normalized(x, width, 1), shortcut])
            x = layers.ReLU()(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


def _dense(units):
    return layers.Dense(
        units, "relu", use_bias=False, kernel_initializer="he_uniform"
    )


def _convolution(filters, size, padding, strides=1):
    return layers.Conv2D(
        filters,
        size,
        strides,
        padding,
        activation="relu",
        use_bias=False,
        kernel_initializer="he_uniform",
    )


def _normalized(x, filters, strides, size=3):
    x = layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False
    )(x)
    return layers.BatchNormalization(momentum=MOMENTUM)(x)
