"""Tests of RotatedImages."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.scenarios import ImageData, RotatedImages


def make_data(height=6, width=6):
    rng = np.random.default_rng(0)
    x = rng.random((20, height, width, 2), dtype="float32")
    return ImageData((x, np.arange(20) % 3), (x, np.arange(20) % 3))


def inputs_of(task):
    return np.concatenate([x for x, _ in task.test])


class RotatedImagesTest(parameterized.TestCase):
    def test_0_degrees_is_the_identity(self):
        data = make_data(5, 8)
        (task,) = RotatedImages(data, [-0.0])
        np.testing.assert_array_equal(inputs_of(task), data.test[0])
        self.assertEqual(task.name, "rotation_0")

    @parameterized.product(size=(6, 7), quarters=(1, 2, 3, -1))
    def test_quarter_turns_go_counter_clockwise(self, size, quarters):
        data = make_data(size, size)
        (task,) = RotatedImages(data, [90 * quarters])
        np.testing.assert_allclose(
            inputs_of(task),
            np.rot90(data.test[0], quarters, axes=(1, 2)),
            atol=1e-5,
        )

    @parameterized.parameters(15.0, -40.0)
    def test_the_centre_stays_and_the_outside_is_0(self, angle):
        x = np.ones((10, 9, 9), "float32")
        data = ImageData((x, np.arange(10) % 2), (x, np.arange(10) % 2))
        (task,) = RotatedImages(data, [angle])
        inputs = inputs_of(task)
        np.testing.assert_allclose(inputs[:, 3:6, 3:6], 1.0, atol=1e-6)
        self.assertLess(inputs[:, 0, 0].max(), 1.0)
        self.assertBetween(inputs.min(), 0.0, 1.0)

    def test_bilinear_by_hand(self):
        x = np.zeros((4, 3, 3), "float32")
        x[:, 1, 2] = 1.0
        data = ImageData((x, [0, 1, 0, 1]), (x, [0, 1, 0, 1]))
        (task,) = RotatedImages(data, [45])
        # The top pixel is seen at 45 degrees on the unit circle around the
        # centre: sin 45 to the right of it and as far up, between the centre,
        # the pixel right of it (1), and two more.
        near = np.sin(np.pi / 4)
        expected = near * (1 - near)
        self.assertAlmostEqual(inputs_of(task)[0, 0, 1, 0], expected, 6)

    def test_the_split_is_the_same_for_all_tasks(self):
        tasks = RotatedImages(make_data(), [0, 180])
        first, second = (
            np.concatenate([x for x, _ in task.validation]) for task in tasks
        )
        np.testing.assert_allclose(first, second[:, ::-1, ::-1], atol=1e-5)

    @parameterized.parameters(([],), ([0, 0],), ([float("nan")],))
    def test_bad_angles(self, angles):
        with self.assertRaisesRegex(ValueError, "`angles` must"):
            RotatedImages(make_data(), angles)
