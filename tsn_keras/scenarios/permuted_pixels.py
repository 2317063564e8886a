"""Tasks that see the pixels in different orders."""

import numpy as np
import tensorflow as tf

from tsn_keras.scenarios import image_scenario, scenario
from tsn_keras.scenarios.images import ImageData


class PermutedPixels(image_scenario.ImageScenario):
    """Tasks that see the pixels of all images in different fixed orders.

    Input pixel `p` of task `i` is pixel `permutation(i)[p]` of the image,
    where pixels are numbered row by row and the channels of a pixel stay
    together. Task 0 has the identity: the images as they are. All tasks have
    the same classes and the same validation images. Task `i` is the same
    whatever `num_tasks` is.

    Sources: Goodfellow et al., 2013, An Empirical Investigation of
    Catastrophic Forgetting; Kirkpatrick et al., 2017, Overcoming Catastrophic
    Forgetting in Neural Networks.

    The arguments are those of `ImageScenario`. `seed` also decides on the
    permutations.

    Example:

    >>> images = np.random.default_rng(0).random((20, 4, 4), "float32")
    >>> labels = np.arange(20) % 2
    >>> data = ImageData((images, labels), (images, labels))
    >>> tasks = PermutedPixels(data, num_tasks=3)
    >>> [task.name for task in tasks]
    ['permutation_0', 'permutation_1', 'permutation_2']
    >>> tasks[-1].input_shape
    (16,)
    """

    def __init__(
        self,
        data: ImageData,
        num_tasks: int = 10,
        seed: int = 0,
        validation_split: float = 0.1,
        batch_size: int = 32,
        flatten: bool = True,
    ) -> None:
        super().__init__(data, seed, validation_split, batch_size, flatten)
        self.num_tasks = scenario.checked_int("num_tasks", num_tasks, 1)

    def __len__(self) -> int:
        return self.num_tasks

    def permutation(self, index: int) -> np.ndarray:
        """Returns the order in which task `index` sees the pixels.

        It is a permutation of `range(height * width)`, as an int64 array.
        """
        index = scenario.checked_int("index", index, 0)
        height, width, _ = self.image_shape
        if index == 0:
            return np.arange(height * width)
        seed = (self.seed, index, scenario.TRANSFORM)
        return np.random.default_rng(seed).permutation(height * width)

    def _build(self, index: int) -> scenario.Task:
        height, width, channels = self.image_shape
        permutation = tf.constant(self.permutation(index))

        def permute(images):
            pixels = tf.reshape(images, (-1, height * width, channels))
            return tf.gather(pixels, permutation, axis=1)

        transform = permute if index > 0 else None
        return self._task(index, f"permutation_{index}", transform=transform)
