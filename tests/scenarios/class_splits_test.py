"""Tests of ClassSplits."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.scenarios import ClassSplits, ImageData


def make_data(classes=12, count=120):
    """Makes images filled with their class."""
    y = np.random.default_rng(0).permutation(np.arange(count) % classes)
    x = np.tile(y[:, None, None], (1, 3, 3)).astype("float32")
    return ImageData((x, y), (x[:60], y[:60]))


def arrays(dataset):
    x, y = zip(*dataset)
    return np.concatenate(x), np.concatenate(y)


class ClassSplitsTest(parameterized.TestCase):
    @parameterized.parameters(
        {"num_tasks": 4},
        {"classes_per_task": 3, "seed": 5},
        {"num_tasks": 3, "class_order": [7, 2, 9, 0, 1, 11]},
    )
    def test_tasks_partition_the_classes_and_the_images(self, **arguments):
        data = make_data()
        scenario = ClassSplits(data, **arguments)
        used = [c for classes in scenario.task_classes for c in classes]
        expected = arguments.get("class_order", range(12))
        self.assertCountEqual(used, expected)
        count = 0
        for classes, task in zip(scenario.task_classes, scenario):
            self.assertEqual(task.num_classes, len(classes))
            for part in (task.train, task.validation, task.test):
                x, y = arrays(part)
                # Label c of the task is its c-th class.
                np.testing.assert_array_equal(
                    x[:, 0, 0, 0], np.array(classes)[y]
                )
            count += len(y)
        self.assertEqual(count, np.isin(data.test[1], used).sum())

    def test_the_order_of_the_classes(self):
        data = make_data()
        plain = ClassSplits(data, num_tasks=4)
        shuffled = ClassSplits(data, num_tasks=4, seed=0)
        given = ClassSplits(data, 2, class_order=[3, 1, 0, 2], seed=0)
        self.assertEqual(plain.task_classes[1], (3, 4, 5))
        self.assertNotEqual(plain.task_classes, shuffled.task_classes)
        self.assertEqual(given.task_classes, ((3, 1), (0, 2)))

    def test_names(self):
        data = make_data(24, 240)

        def names(**arguments):
            return [task.name for task in ClassSplits(data, **arguments)]

        self.assertEqual(names(num_tasks=2), ["classes_0_11", "classes_12_23"])
        self.assertEqual(
            names(classes_per_task=2, class_order=[4, 0, 9, 2]),
            ["classes_4_0", "classes_9_2"],
        )
        self.assertEqual(
            names(num_tasks=1, class_order=range(23, -1, -1)),
            ["classes_23_and_23_more"],
        )
        self.assertEqual(
            names(num_tasks=2, classes_per_task=1), ["classes_0", "classes_1"]
        )

    def test_both_numbers_use_the_first_classes(self):
        scenario = ClassSplits(make_data(), num_tasks=2, classes_per_task=5)
        self.assertEqual(
            scenario.task_classes, ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9))
        )

    @parameterized.parameters(
        ({}, "both None"),
        ({"num_tasks": 5}, "`num_tasks=5` does not divide the 12"),
        ({"classes_per_task": 7}, "`classes_per_task=7` does not divide"),
        ({"num_tasks": 5, "classes_per_task": 3}, "more than the 12"),
        ({"num_tasks": 0}, "`num_tasks` must be"),
        ({"classes_per_task": -2}, "`classes_per_task` must be"),
        ({"num_tasks": 2, "class_order": [0, 12]}, r"unknown classes \[12\]"),
        ({"num_tasks": 2, "class_order": [1, 1]}, "none twice"),
        ({"num_tasks": 2, "class_order": []}, "at least one"),
    )
    def test_bad_arguments(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            ClassSplits(make_data(), **arguments)

    def test_classes_without_images(self):
        x, y = np.zeros((8, 3, 3), "uint8"), np.arange(8) % 4
        data = ImageData((x, y), (x[:3], y[:3]))
        with self.assertRaisesRegex(ValueError, r"\[3\].*`data.test`"):
            ClassSplits(data, num_tasks=2)

    def test_a_task_with_one_image(self):
        x, y = np.zeros((4, 3, 3), "uint8"), np.arange(4)
        scenario = ClassSplits(ImageData((x, y), (x, y)), num_tasks=4)
        with self.assertRaisesRegex(ValueError, "at least two training"):
            scenario[0]

    def test_class_names(self):
        names = [f"class {number}" for number in range(12)]
        plain = make_data()
        data = ImageData(plain.train, plain.test, class_names=names)
        scenario = ClassSplits(data, num_tasks=4, seed=3)
        for classes, task in zip(scenario.task_classes, scenario):
            self.assertEqual(task.class_names, [names[c] for c in classes])
        self.assertIsNone(ClassSplits(plain, num_tasks=4)[0].class_names)
        with self.assertRaisesRegex(ValueError, "11 names for 12 classes"):
            ImageData(plain.train, plain.test, class_names=names[1:])
