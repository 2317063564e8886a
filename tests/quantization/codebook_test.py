import numpy as np
from absl.testing import parameterized

from tsn_keras.quantization import Codebook


def normal(size, seed=0):
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


class CodebookTest(parameterized.TestCase):
    @parameterized.product(
        width=(1, 2, 4, 8), kind=("clustered", "linear"), size=(1, 7, 300)
    )
    def test_fit(self, width, kind, size):
        values = normal(size)
        codebook = Codebook.fit(values, width, kind)
        self.assertEqual(codebook.width, width)
        self.assertLessEqual(codebook.centroids.size, 2**width)
        self.assertEqual(codebook.centroids.dtype, np.float32)
        self.assertEqual(codebook.codes.shape, (size,))
        distances = np.abs(values[:, None] - codebook.centroids)
        np.testing.assert_allclose(
            np.abs(values - codebook.values()), distances.min(1), atol=1e-6
        )

    def test_wider_is_nearer(self):
        values = normal(500)
        errors = [
            np.square(values - Codebook.fit(values, w).values()).sum()
            for w in range(1, 9)
        ]
        self.assertEqual(errors, sorted(errors, reverse=True))
        self.assertLess(errors[-1], errors[0] / 1000)

    def test_few_values_are_exact(self):
        values = np.float32([0.5, -1, 0.5, 3])
        codebook = Codebook.fit(values, 2)
        np.testing.assert_array_equal(codebook.values(), values)

    @parameterized.parameters("clustered", "linear")
    def test_no_values(self, kind):
        codebook = Codebook.fit(np.zeros(0, np.float32), 3, kind)
        self.assertEqual(codebook.values().shape, (0,))
        kernel = normal((3, 4))
        placed = codebook.place(kernel, np.zeros((3, 4), bool))
        np.testing.assert_array_equal(placed, kernel)

    def test_place(self):
        kernel, own = normal((6, 5)), normal((6, 5), 1) > 0
        before = kernel.copy()
        codebook = Codebook.fit(kernel[own], 2)
        placed = codebook.place(kernel, own)
        np.testing.assert_array_equal(kernel, before)
        np.testing.assert_array_equal(placed[~own], kernel[~own])
        np.testing.assert_array_equal(placed[own], codebook.values())
        self.assertLessEqual(np.unique(placed[own]).size, 4)
