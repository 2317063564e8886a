"""Tests of PermutedPixels."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.scenarios import ImageData, PermutedPixels


def make_data(channels=3):
    rng = np.random.default_rng(0)
    x = rng.random((30, 5, 4, channels), dtype="float32")
    return ImageData((x, np.arange(30) % 3), (x[:10], np.arange(10) % 3))


def inputs_of(task):
    return np.concatenate([x for x, _ in task.test])


class PermutedPixelsTest(parameterized.TestCase):
    def test_task_0_is_the_identity(self):
        data = make_data()
        task = PermutedPixels(data, flatten=False)[0]
        np.testing.assert_array_equal(inputs_of(task), data.test[0])

    def test_every_task_is_a_bijection_of_the_pixels(self):
        data = make_data()
        scenario = PermutedPixels(data, num_tasks=4, seed=7, flatten=False)
        seen = set()
        for index, task in enumerate(scenario):
            permutation = scenario.permutation(index)
            np.testing.assert_array_equal(np.sort(permutation), np.arange(20))
            inputs = inputs_of(task).reshape(10, 20, 3)
            restored = np.empty_like(inputs)
            restored[:, permutation] = inputs
            np.testing.assert_array_equal(
                restored.reshape(data.test[0].shape), data.test[0]
            )
            seen.add(tuple(permutation))
        self.assertLen(seen, 4)

    def test_training_and_test_are_permuted_alike(self):
        x = np.tile(np.arange(20, dtype="float32").reshape(1, 4, 5), (9, 1, 1))
        data = ImageData((x, np.zeros(9, int)), (x, np.zeros(9, int)))
        task = PermutedPixels(data)[3]
        for dataset in (task.train, task.validation, task.test):
            for inputs, _ in dataset:
                for row in inputs:
                    np.testing.assert_array_equal(
                        row, PermutedPixels(data).permutation(3)
                    )

    def test_the_split_is_the_same_for_all_tasks(self):
        scenario = PermutedPixels(make_data())
        sums = [
            np.concatenate([x for x, _ in task.validation]).sum(axis=1)
            for task in scenario[:3]
        ]
        np.testing.assert_allclose(sums[0], sums[1], rtol=1e-5)
        np.testing.assert_allclose(sums[0], sums[2], rtol=1e-5)

    def test_a_task_does_not_depend_on_their_number(self):
        short = PermutedPixels(make_data(), num_tasks=2)[1]
        long = PermutedPixels(make_data(), num_tasks=9)[1]
        np.testing.assert_array_equal(inputs_of(short), inputs_of(long))

    @parameterized.parameters(0, -1, 2.5, None)
    def test_bad_number_of_tasks(self, num_tasks):
        with self.assertRaisesRegex(ValueError, "`num_tasks` must be"):
            PermutedPixels(make_data(), num_tasks=num_tasks)
