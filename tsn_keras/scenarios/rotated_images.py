"""Tasks that see the images at different angles."""

import math
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from tsn_keras.data import check_numbers
from tsn_keras.scenarios import image_scenario, scenario
from tsn_keras.scenarios.images import ImageData


class RotatedImages(image_scenario.ImageScenario):
    """Tasks that see all images rotated, each by an angle of its own.

    Images turn counter-clockwise about their centre and keep their size, with
    bilinear interpolation. Pixels from outside the image are 0. The angle 0
    leaves the images exactly as they are. All tasks have the same classes and
    the same validation images.

    Source: Lopez-Paz and Ranzato, 2017, Gradient Episodic Memory.

    Args:
        angles: One angle in degrees for each task, all different.
        seed: Seed of the validation split and the order of the batches.

    The other arguments are those of `ImageScenario`.

    Example:

    >>> images = np.random.default_rng(0).random((20, 4, 4), "float32")
    >>> labels = np.arange(20) % 2
    >>> data = ImageData((images, labels), (images, labels))
    >>> [task.name for task in RotatedImages(data, angles=(0, 15, -22.5))]
    ['rotation_0', 'rotation_15', 'rotation_-22.5']
    """

    def __init__(
        self,
        data: ImageData,
        angles: Sequence[float],
        seed: int = 0,
        validation_split: float = 0.1,
        batch_size: int = 32,
        flatten: bool = False,
    ) -> None:
        super().__init__(data, seed, validation_split, batch_size, flatten)
        if isinstance(angles, str) or not isinstance(angles, Iterable):
            raise TypeError(
                "`angles` must be a list of degrees, such as (0, 15, 30). "
                f"Received: angles={angles!r}"
            )
        for angle in angles:
            check_numbers(angles=angle)
        self.angles = tuple(float(angle) for angle in angles)
        if not self.angles or not all(map(math.isfinite, self.angles)):
            raise ValueError(
                "`angles` must hold one finite number of degrees for each "
                f"task. Received: {angles}. Pass for example (0, 15, 30)."
            )
        names = [_name(angle) for angle in self.angles]
        if len(set(names)) < len(names):
            raise ValueError(
                "`angles` must all be different, since they name the tasks. "
                f"Received: {angles}. Remove the repeated ones."
            )

    def __len__(self) -> int:
        return len(self.angles)

    def _build(self, index: int) -> scenario.Task:
        angle = self.angles[index]
        matrix = _rotation(angle, *self.image_shape[:2])

        def rotate(images):
            return keras.ops.image.affine_transform(
                images,
                matrix,
                interpolation="bilinear",
                fill_mode="constant",
                fill_value=0,
                data_format="channels_last",
            )

        transform = rotate if angle else None
        return self._task(index, _name(angle), transform=transform)


def _name(angle):
    # Adding 0.0 turns -0.0 into 0.0.
    return f"rotation_{angle + 0.0:g}"


def _rotation(degrees: float, height: int, width: int) -> np.ndarray:
    """Returns the map from output to input positions, as 8 parameters."""
    radians = math.radians(degrees)
    cos, sin = math.cos(radians), math.sin(radians)
    x, y = (width - 1) / 2, (height - 1) / 2
    first = [cos, -sin, x - cos * x + sin * y]
    second = [sin, cos, y - sin * x - cos * y]
    return np.array([*first, *second, 0, 0], np.float32)
