"""Sequences of tasks: of one's own data, or made from images."""

from tsn_keras.scenarios.class_splits import ClassSplits as ClassSplits
from tsn_keras.scenarios.datasets import from_datasets as from_datasets
from tsn_keras.scenarios.image_folders import ImageFolders as ImageFolders
from tsn_keras.scenarios.image_folders import (
    from_image_folders as from_image_folders,
)
from tsn_keras.scenarios.image_scenario import ImageScenario as ImageScenario
from tsn_keras.scenarios.images import ImageData as ImageData
from tsn_keras.scenarios.permuted_pixels import (
    PermutedPixels as PermutedPixels,
)
from tsn_keras.scenarios.rotated_images import RotatedImages as RotatedImages
from tsn_keras.scenarios.scenario import Scenario as Scenario
from tsn_keras.scenarios.scenario import Task as Task
from tsn_keras.scenarios.tfds_tasks import from_tfds as from_tfds

# For users: what completion shows and the reference describes.
__all__ = [
    "ClassSplits",
    "ImageData",
    "ImageFolders",
    "ImageScenario",
    "PermutedPixels",
    "RotatedImages",
    "Scenario",
    "Task",
    "from_datasets",
    "from_image_folders",
    "from_tfds",
]


def __dir__() -> list[str]:
    return __all__
