"""Sequences of tasks, made from images."""

from tsn_keras.scenarios.class_splits import ClassSplits as ClassSplits
from tsn_keras.scenarios.images import ImageData as ImageData
from tsn_keras.scenarios.permuted_pixels import (
    PermutedPixels as PermutedPixels,
)
from tsn_keras.scenarios.rotated_images import RotatedImages as RotatedImages
from tsn_keras.scenarios.scenario import Scenario as Scenario
from tsn_keras.scenarios.scenario import Task as Task

# For users: what completion shows and the reference describes.
__all__ = [
    "ClassSplits",
    "ImageData",
    "PermutedPixels",
    "RotatedImages",
    "Scenario",
    "Task",
]


def __dir__() -> list[str]:
    return __all__
