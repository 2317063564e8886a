"""A few examples of each task are kept, and trained with again."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tsn_keras.baselines.baseline import Baseline
from tsn_keras.data import check_integers

INPUTS, LABELS = "inputs", "labels"
LEVELS = 255.0


@keras.saving.register_keras_serializable(package="tsn_keras.baselines")
class ExperienceReplay(Baseline):
    """Trains each task together with kept examples of earlier ones.

    Each step takes a batch of the task and one of the same size of what was
    kept. The examples are drawn at random from the training data; those whose
    values are all `k / 255` take one byte a value, others four. They count as
    stored bytes.

    Source: Chaudhry et al., "On tiny episodic memories in continual learning",
    2019.

    Args:
        examples: How many examples of each task are kept.

    The other arguments are those of `Baseline`.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu")]
    ... )
    >>> ExperienceReplay(backbone, examples=50).examples
    50
    """

    trains_all_heads = True

    def __init__(
        self,
        backbone: keras.Model,
        examples: int = 200,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_integers(examples=examples)
        if examples < 1:
            raise ValueError(
                "`examples` must be at least 1, of each task. Received: "
                f"examples={examples}. Pass for example 200."
            )
        super().__init__(backbone, seed, **kwargs)
        self.examples = int(examples)

    def training_data(self, data: tf.data.Dataset) -> tf.data.Dataset:
        if not self.kept.get(INPUTS):
            return data
        inputs = tf.constant(np.concatenate(self.kept[INPUTS]))
        labels = tf.constant(np.concatenate(self.kept[LABELS]), tf.int64)
        numbers = tf.data.Dataset.random(
            self.seed, rerandomize_each_iteration=True
        )

        def with_kept(batch, number):
            x, y = batch
            rows = tf.random.stateless_uniform(
                [tf.shape(y)[0]], [number, 0], 0, len(labels), tf.int32
            )
            again = tf.gather(inputs, rows)
            if again.dtype == tf.uint8:
                again = tf.cast(again, tf.float32) / LEVELS
            joined = tf.concat([x, tf.cast(again, x.dtype)], 0)
            return joined, tf.concat([y, tf.gather(labels, rows)], 0)

        return tf.data.Dataset.zip(data, numbers).map(with_kept)

    def end_task(self, data: tf.data.Dataset) -> None:
        number = len(self.tasks)
        seed = 0 if self.seed is None else self.seed
        generator = np.random.default_rng((seed, number))
        x, y = draw(data, self.examples, generator)
        inputs = [*self.kept.get(INPUTS, []), in_levels(x)]
        if len({part.dtype for part in inputs}) > 1:
            inputs = [from_levels(part) for part in inputs]
        self.kept[INPUTS] = inputs
        self.kept[LABELS] = [*self.kept.get(LABELS, []), y.astype(np.int32)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "examples": self.examples}


def draw(
    data: tf.data.Dataset, count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws examples of a data set at random, each as likely as any other."""
    x, y, keys = None, None, np.zeros(0)
    for inputs, labels in data.as_numpy_iterator():
        drawn = generator.random(len(labels))
        if x is not None:
            inputs = np.concatenate([x, inputs])
            labels = np.concatenate([y, labels])
            drawn = np.concatenate([keys, drawn])
        best = np.argsort(drawn)[-count:]
        x, y, keys = inputs[best], labels[best], drawn[best]
    return x, y


def in_levels(x: np.ndarray) -> np.ndarray:
    """Returns values as bytes, if each is one of `0, 1/255, ..., 1`.

    >>> in_levels(np.array([0.0, 1.0], "float32"))
    array([  0, 255], dtype=uint8)
    >>> in_levels(np.array([0.5], "float32"))
    array([0.5], dtype=float32)
    """
    levels = np.round(np.clip(x, 0.0, 1.0) * LEVELS).astype(np.uint8)
    same = np.array_equal(levels / np.float32(LEVELS), x)
    return levels if same else x


def from_levels(x: np.ndarray) -> np.ndarray:
    """Returns the values that `in_levels` was given."""
    return x / np.float32(LEVELS) if x.dtype == np.uint8 else x
