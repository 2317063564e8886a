"""What tests of files for microcontrollers have in common."""

import importlib.util
import unittest

import keras
from keras import layers

from tests.lite import small_models

HAS_TFLITE_MICRO = importlib.util.find_spec("tflite_micro") is not None
needs_tflite_micro = unittest.skipUnless(
    HAS_TFLITE_MICRO, "tflite_micro is not installed: pip install tflite_micro"
)


def dense_model(classes=(4,), kept=0.1, inputs=120, units=(64, 48)):
    """Returns a model of a task for each number of classes."""
    backbone = small_models.dense_backbone(units, inputs)
    model = small_models.make_model(backbone, tasks=0)
    for number, count in enumerate(classes):
        head = layers.Dense(count)
        small_models.add_random_task(model, number, head, kept=kept)
    return model


def depthwise_model(kept=0.2):
    """Returns a model of one task, with depthwise convolutions."""
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(48, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(64, activation="relu"),
        ]
    )
    return small_models.make_model(backbone, tasks=1, kept=kept)


def data_of(model, count=40):
    """Returns inputs by task; those of each have a range of its own."""
    x = small_models.random_inputs(model, count)
    return {
        name: x * (number + 1) for number, name in enumerate(model.bank.tasks)
    }
