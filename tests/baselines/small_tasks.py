"""Tasks that are learned within a second, and that contradict each other."""

import keras
import numpy as np

import tsn_keras

CLASSES, PIXELS = 4, 16
Dense = keras.layers.Dense


def make_tasks(num_tasks=3, seed=0):
    """Returns images of 4 x 4 pixels, in which a few say the class.

    Which pixels do is another matter in each task.
    """
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, 480)
    images = random.integers(0, 64, (480, 4, 4), np.uint8)
    images[np.arange(480), labels, labels] += 190
    data = tsn_keras.scenarios.ImageData.from_arrays(
        (images[:320], labels[:320]), (images[320:], labels[320:])
    )
    return tsn_keras.scenarios.PermutedPixels(
        data, num_tasks, seed, batch_size=16
    )


def make_backbone(units=24, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((PIXELS,)), Dense(units, activation="relu")]
    )


def compiled(method, rate=0.02):
    method.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return method


def learn(method, task, epochs=4):
    method.add_task(task.name, head=Dense(task.num_classes))
    method.fit(task.train, epochs=epochs, verbose=0)
    return method.consolidate(task.validation, verbose=0)


def accuracies(method, tasks):
    """Returns the accuracy on each task, all of them learned."""
    return [
        method.evaluate(
            task.test, task=task.name, return_dict=True, verbose=0
        )["accuracy"]
        for task in tasks
    ]


def learned(method, tasks, epochs=4):
    for task in tasks:
        learn(method, task, epochs)
    return method
