"""Tests of what holds for every kind of scenario."""

import hashlib
import os
import subprocess
import sys

import keras
import numpy as np
from absl.testing import parameterized

from tsn_keras.scenarios import (
    ClassSplits,
    ImageData,
    PermutedPixels,
    RotatedImages,
)


def make_data(train=103, test=41, classes=6, dtype="uint8", channels=2):
    """Makes images whose first pixel value tells which image they are."""
    rng = np.random.default_rng(0)

    def pair(count):
        x = rng.integers(0, 256, (count, 5, 4, channels))
        x[:, 0, 0, 0] = np.arange(count)
        return x.astype(dtype), np.arange(count) % classes

    return ImageData(pair(train), pair(test))


def digest(task):
    """Hashes everything a task gives in an epoch, batch by batch."""
    result = hashlib.sha256()
    for dataset in (task.train, task.validation, task.test):
        for x, y in dataset:
            result.update(x.numpy().tobytes() + y.numpy().tobytes())
    return result.hexdigest()


def arrays(dataset):
    x, y = zip(*dataset)
    return np.concatenate(x), np.concatenate(y)


KINDS = {
    "permuted": lambda data, **kw: PermutedPixels(data, num_tasks=3, **kw),
    "rotated": lambda data, **kw: RotatedImages(data, (0, 30, 90), **kw),
    "split": lambda data, **kw: ClassSplits(data, num_tasks=3, **kw),
}
PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
import scenario_test as t
print([t.digest(t.KINDS[k](t.make_data(), seed=3)[1]) for k in t.KINDS])
"""


class EveryScenarioTest(parameterized.TestCase):
    @parameterized.parameters(*KINDS)
    def test_is_a_sequence(self, kind):
        scenario = KINDS[kind](make_data())
        names = [task.name for task in scenario]
        self.assertLen(scenario, 3)
        self.assertLen(set(names), 3)
        self.assertEqual(scenario[-1].name, names[2])
        self.assertEqual([t.name for t in scenario[1:]], names[1:])
        for index in (3, -4):
            with self.assertRaisesRegex(IndexError, "has 3 tasks"):
                scenario[index]

    @parameterized.parameters(*KINDS)
    def test_the_same_index_gives_the_same_task(self, kind):
        scenario = KINDS[kind](make_data(), seed=3)
        again = KINDS[kind](make_data(), seed=3)
        other = KINDS[kind](make_data(), seed=4)
        self.assertEqual(digest(scenario[1]), digest(scenario[1]))
        self.assertEqual(digest(scenario[1]), digest(again[1]))
        self.assertNotEqual(digest(scenario[1]), digest(other[1]))

    def test_another_process_gives_the_same_tasks(self):
        # Both start afresh: the global seed of this one may have been set.
        folder = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, "-c", PROGRAM.format(folder=folder)]
        running = [
            subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=subprocess.PIPE,
            )
            for _ in range(2)
        ]
        outputs = [process.communicate()[0] for process in running]
        self.assertEqual([process.returncode for process in running], [0, 0])
        self.assertEqual(outputs[0], outputs[1])

    @parameterized.product(kind=tuple(KINDS), flatten=(False, True))
    def test_shapes_and_dtypes(self, kind, flatten):
        scenario = KINDS[kind](make_data(), flatten=flatten, batch_size=8)
        task = scenario[1]
        self.assertEqual(task.input_shape, (40,) if flatten else (5, 4, 2))
        for dataset in (task.train, task.validation, task.test):
            x, y = arrays(dataset)
            self.assertEqual((x.dtype, y.dtype), ("float32", "int64"))
            self.assertEqual(x.shape[1:], task.input_shape)
            self.assertEqual(
                dataset.element_spec[0].shape, (None, *task.input_shape)
            )
            self.assertBetween(x.min(), 0, 1)
            self.assertBetween(x.max(), 0.5, 1)
            self.assertBetween(y.max(), 0, task.num_classes - 1)
        sizes = [len(y) for _, y in task.train]
        self.assertEqual(set(sizes[:-1]), {8})
        self.assertEqual(len(task.train), len(sizes))

    @parameterized.parameters(*KINDS)
    def test_training_and_validation_images_are_apart(self, kind):
        data = make_data()
        task = KINDS[kind](data, validation_split=0.2, flatten=False)[0]
        ids = {
            part: np.rint(255 * arrays(getattr(task, part))[0][:, 0, 0, 0])
            for part in ("train", "validation")
        }
        both = np.concatenate(list(ids.values()))
        self.assertLen(set(both), len(both))
        self.assertEqual(len(ids["validation"]), round(0.2 * len(both)))

    def test_only_training_is_shuffled_and_every_epoch_anew(self):
        task = PermutedPixels(make_data())[0]
        first, second = arrays(task.train)[0], arrays(task.train)[0]
        self.assertFalse(np.array_equal(first, second))
        np.testing.assert_array_equal(
            np.sort(first[:, 0]), np.sort(second[:, 0])
        )
        for dataset in (task.validation, task.test):
            np.testing.assert_array_equal(
                arrays(dataset)[0], arrays(dataset)[0]
            )

    def test_floating_point_images_are_left_as_they_are(self):
        data = make_data(dtype="float64")
        task = PermutedPixels(data, flatten=False)[0]
        np.testing.assert_array_equal(arrays(task.test)[0], data.test[0])

    def test_keras_trains_on_a_task(self):
        task = PermutedPixels(make_data())[1]
        model = keras.Sequential([keras.layers.Dense(task.num_classes)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        history = model.fit(
            task.train, validation_data=task.validation, epochs=2, verbose=0
        )
        self.assertLen(history.history["val_loss"], 2)

    @parameterized.parameters(
        ({"validation_split": 0}, "validation_split"),
        ({"validation_split": 1.0}, "validation_split"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"seed": -1}, "seed"),
    )
    def test_bad_arguments(self, arguments, name):
        for kind in KINDS.values():
            with self.assertRaisesRegex(ValueError, f"`{name}`"):
                kind(make_data(), **arguments)

    def test_data_must_be_image_data(self):
        with self.assertRaisesRegex(ValueError, "ImageData.from_arrays"):
            PermutedPixels(np.zeros((3, 4, 4)))
