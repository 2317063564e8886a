import dataclasses
import pathlib
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from examples.published_benchmarks import benchmarks, networks, tiny_imagenet
from tests.examples.published_benchmarks.small_folders import (
    make_letters,
    make_tiny_imagenet,
)


def make_request(num_tasks=2, **folders):
    return benchmarks.Request(
        num_tasks, 4, seed=0, folders=tuple(folders.items())
    )


class BenchmarksTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enterContext(tempfile.TemporaryDirectory())
        )

    @parameterized.parameters(
        ("permuted_mnist", (784,), 88_400),
        ("split_cifar100", (32, 32, 3), 6_499_328),
        ("cifar100_superclasses", (32, 32, 3), 2_986_500),
        ("tiny_imagenet", (64, 64, 3), 2_743_520),
    )
    def test_weights_of_the_published_networks(self, name, shape, count):
        network = benchmarks.BENCHMARKS[name].make_backbone(shape)
        self.assertEqual(network.count_params(), count)
        self.assertLen(network.output_shape, 2)

    def test_resnet18_has_eighteen_layers(self):
        network = networks.resnet18((32, 32, 3))
        convolutions = [
            layer
            for layer in network.layers
            if isinstance(layer, keras.layers.Conv2D)
            and layer.kernel_size == (3, 3)
        ]
        # And the head.
        self.assertLen(convolutions, 17)
        self.assertEqual(network.output_shape, (None, 160))

    def test_superclasses(self):
        random = np.random.default_rng(0)
        coarse_of = random.permutation(np.repeat(np.arange(20), 5))
        fine = random.permutation(np.repeat(np.arange(100), 3))
        order = benchmarks.superclass_order(fine, coarse_of[fine])
        self.assertEqual(sorted(order), list(range(100)))
        for classes in order.reshape(20, 5):
            self.assertLen(set(coarse_of[classes]), 1)

    def test_tiny_imagenet(self):
        make_tiny_imagenet(self.folder)
        tasks = benchmarks.tiny_imagenet_tasks(
            make_request(tiny_imagenet=str(self.folder))
        )
        self.assertLen(tasks, 2)
        x, y = next(iter(tasks[1].test))
        self.assertEqual(x.shape, (5, 64, 64, 3))
        # The second task has the classes 5 to 9, in shades of 20 each.
        shade = np.asarray(x).mean(axis=(1, 2, 3)) * 255
        np.testing.assert_allclose(shade, 20 * (np.asarray(y) + 5), atol=1)

    @parameterized.parameters(
        ("wnids.txt",),
        ("val/val_annotations.txt",),
        ("val/images/val_3.JPEG",),
        ("train/n00000002/images",),
    )
    def test_a_missing_file_is_named(self, name):
        make_tiny_imagenet(self.folder)
        path = self.folder / name
        path.rename(self.folder / "elsewhere")
        with self.assertRaisesRegex(FileNotFoundError, f"{name}.*missing"):
            tiny_imagenet.read(str(self.folder))

    def test_no_folder_is_no_data_set(self):
        with self.assertRaisesRegex(ValueError, "--tiny_imagenet"):
            tiny_imagenet.read(None)
        with self.assertRaisesRegex(ValueError, "--not_mnist"):
            benchmarks.not_mnist(make_request(), (32, 32))

    def test_not_mnist(self):
        make_letters(self.folder)
        (task,) = benchmarks.not_mnist(
            make_request(not_mnist=str(self.folder)), (32, 32)
        )
        self.assertEqual(task.num_classes, 10)
        self.assertEqual(task.input_shape, (32, 32, 3))
        (self.folder / "D").rename(self.folder / "Z")
        with self.assertRaisesRegex(FileNotFoundError, "D' is missing"):
            benchmarks.not_mnist(
                make_request(not_mnist=str(self.folder)), (32, 32)
            )

    def test_characters_turned_are_other_classes(self):
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (60, 6, 6, 1), np.uint8)
        labels = np.repeat(np.arange(3), 20)
        data = tsn_keras.scenarios.ImageData(
            (images[:40], labels[:40]), (images[40:], labels[40:])
        )
        turned = benchmarks.rotated_classes(data, 2)
        self.assertEqual(turned.num_classes, 8)
        self.assertLen(turned.train[1], 8 * 15)
        self.assertLen(turned.test[1], 8 * 5)
        upright, around = (
            turned.train[0][turned.train[1] == number] for number in (4, 6)
        )
        np.testing.assert_array_equal(around, upright[:, ::-1, ::-1])

    def test_what_no_machine_holds_is_refused(self):
        benchmark = benchmarks.BENCHMARKS["permuted_mnist"]
        benchmarks.check_memory(benchmark, 10**6, 5)
        huge = dataclasses.replace(benchmark, gigabytes=1e6)
        with self.assertRaisesRegex(MemoryError, "needs about 1000000.0 GB"):
            benchmarks.check_memory(huge, 10**6, 5)
