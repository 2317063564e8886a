"""Tests of ImageData."""

import builtins
from unittest import mock

import numpy as np
from absl.testing import parameterized

from tsn_keras.scenarios import ClassSplits, ImageData, PermutedPixels


def pair(count=6, shape=(4, 5), dtype="uint8"):
    images = np.random.default_rng(0).integers(0, 256, (count, *shape))
    return images.astype(dtype), np.arange(count) % 3


def pair_data():
    return ImageData(pair(), pair())


class ImageDataTest(parameterized.TestCase):
    def test_grey_images_get_a_channel_axis(self):
        data = ImageData.from_arrays(pair(), pair(3))
        self.assertEqual(data.train[0].shape, (6, 4, 5, 1))
        self.assertEqual(data.image_shape, (4, 5, 1))
        self.assertEqual(data.num_classes, 3)

    @parameterized.parameters("uint8", "float16", "float32")
    def test_the_dtype_of_the_images_is_kept(self, dtype):
        data = ImageData(pair(dtype=dtype), pair(dtype=dtype))
        self.assertEqual(data.train[0].dtype, dtype)
        self.assertEqual(data.train[1].dtype, "int64")

    def test_labels_may_be_a_column(self):
        x, y = pair()
        data = ImageData.from_arrays((x, y[:, None]), (x, y))
        np.testing.assert_array_equal(data.train[1], y)

    @parameterized.named_parameters(
        ("no_pair", np.zeros(3), "must be a pair"),
        ("rank", (np.zeros((3, 4), "uint8"), [0, 1, 2]), "the shape"),
        ("dtype", (np.zeros((2, 4, 4), "int32"), [0, 1]), "must be uint8"),
        ("length", (np.zeros((2, 4, 4), "uint8"), [0]), "2 images, 1 labels"),
        ("empty", (np.zeros((0, 4, 4), "uint8"), np.zeros(0, int)), "0 im"),
        ("one_hot", (np.zeros((2, 4, 4), "uint8"), np.eye(2)), "argmax"),
        ("negative", (np.zeros((2, 4, 5), "uint8"), [-1, 0]), "from -1 to 0"),
        ("shape", (np.zeros((2, 9, 9), "uint8"), [0, 1]), "one shape"),
        ("mixed", (np.zeros((2, 4, 5), "float32"), [0, 1]), "one dtype"),
    )
    def test_bad_arrays(self, train, message):
        with self.assertRaisesRegex(ValueError, message):
            ImageData(train, pair())

    def test_class_names(self):
        data = ImageData(pair(), pair(), class_names=("a", "b", "c"))
        self.assertEqual(data.num_classes, 3)
        tasks = ClassSplits(data, class_order=[2, 0], num_tasks=1)
        self.assertEqual(tasks[0].class_names, ["c", "a"])
        self.assertIsNone(ClassSplits(pair_data(), 1)[0].class_names)
        self.assertEqual(PermutedPixels(data)[1].class_names, ["a", "b", "c"])
        with self.assertRaisesRegex(ValueError, "2 names"):
            ImageData(pair(), pair(), 3, class_names=["a", "b"])

    def test_labels_beyond_the_classes(self):
        with self.assertRaisesRegex(ValueError, "from 0 to 2"):
            ImageData(pair(), pair(), num_classes=2)


class FromTfdsTest(parameterized.TestCase):
    def read(self, name, examples, **kwargs):
        import tensorflow_datasets as tfds

        with tfds.testing.mock_data(num_examples=examples):
            return ImageData.from_tfds(name, **kwargs)

    def test_reads_a_data_set(self):
        data = self.read("mnist", 30)
        for images, labels in (data.train, data.test):
            self.assertEqual(images.shape, (30, 28, 28, 1))
            self.assertEqual(images.dtype, "uint8")
            self.assertEqual(labels.shape, (30,))
        self.assertEqual(data.num_classes, 10)
        self.assertEqual(data.class_names, list("0123456789"))

    def test_the_label_is_settable(self):
        data = self.read("cifar100", 5, label_key="coarse_label")
        self.assertEqual(data.num_classes, 20)
        self.assertEqual(data.image_shape, (32, 32, 3))

    def test_makes_tasks(self):
        data = self.read("mnist", 300)
        task = ClassSplits(data, num_tasks=5)[2]
        labels = np.concatenate([y for _, y in task.train])
        self.assertSetEqual(set(labels), {0, 1})

    def test_images_of_different_sizes(self):
        splits = {"train_split": "train[:50%]", "test_split": "train[50%:]"}
        with self.assertRaisesRegex(ValueError, "Pass `image_size="):
            self.read("tf_flowers", 4, **splits)
        data = self.read("tf_flowers", 4, image_size=(8, 6), **splits)
        self.assertEqual(data.image_shape, (8, 6, 3))
        self.assertEqual(data.train[0].dtype, "uint8")

    def test_unknown_feature(self):
        with self.assertRaisesRegex(ValueError, "`label_key`.*'image'"):
            self.read("mnist", 3, label_key="kind")

    def test_without_tfds(self):
        real = builtins.__import__

        def without(name, *args, **kwargs):
            if name.startswith("tensorflow_datasets"):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        with mock.patch.object(builtins, "__import__", without):
            with self.assertRaisesRegex(
                ImportError, "pip install tensorflow-datasets"
            ):
                ImageData.from_tfds("mnist")
