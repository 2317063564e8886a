import time

import kmeans1d
import numpy as np
from absl.testing import parameterized

from tsn_keras.quantization.clustering import (
    OrderedBins,
    cluster_values,
    linear_values,
)


def normal(rng, size):
    return rng.normal(size=size)


def pruned(rng, size):
    values = rng.normal(size=8 * size)
    return values[np.abs(values) > 1.2][:size]


def heavy_tails(rng, size):
    return rng.standard_t(2, size)


def outliers(rng, size):
    values = rng.normal(size=size)
    values[:3] = [1000.0, -500.0, 990.0]
    return values


def shifted(rng, size):
    return 100.0 + 0.01 * rng.normal(size=size)


def repeated(rng, size):
    return np.round(rng.normal(size=size), 1)


DRAWS = (normal, pruned, heavy_tails, outliers, shifted, repeated)


def inertia(values, centroids, codes):
    decoded = centroids.astype(np.float64)[codes]
    return np.square(values.astype(np.float64) - decoded).sum()


def optimal_inertia(values, num_clusters):
    codes, centroids = kmeans1d.cluster(values.astype(np.float64), num_clusters)
    return inertia(values, np.array(centroids), codes)


class ClusterValuesTest(parameterized.TestCase):
    def check_form(self, values, centroids, codes):
        self.assertEqual(centroids.dtype, np.float32)
        self.assertEqual(codes.shape, values.shape)
        self.assertTrue((np.diff(centroids) > 0).all())
        distance = np.abs(
            values[:, None].astype(np.float64) - centroids.astype(np.float64)
        )
        np.testing.assert_array_equal(
            distance[np.arange(values.size), codes], distance.min(axis=1)
        )

    @parameterized.product(draw=DRAWS, num_clusters=(1, 2, 3, 8, 16))
    def test_optimal_for_few_values(self, draw, num_clusters):
        for seed in range(4):
            rng = np.random.default_rng(seed)
            size = int(rng.integers(20, 1500))
            values = draw(rng, size).astype(np.float32)
            centroids, codes = cluster_values(values, num_clusters)
            self.check_form(values, centroids, codes)
            self.assertLen(centroids, min(num_clusters, np.unique(values).size))
            best = optimal_inertia(values, num_clusters)
            # The centroids are rounded to float32.
            rounding = values.size * (6e-8 * np.abs(values).max()) ** 2
            self.assertLessEqual(
                inertia(values, centroids, codes),
                best * (1 + 1e-5) + rounding,
            )

    @parameterized.product(draw=DRAWS, num_clusters=(4, 16, 64))
    def test_close_to_optimal_for_many_values(self, draw, num_clusters):
        values = draw(np.random.default_rng(9), 30_000).astype(np.float32)
        centroids, codes = cluster_values(values, num_clusters)
        best = optimal_inertia(values, num_clusters)
        self.assertLessEqual(inertia(values, centroids, codes), 1.001 * best)

    def test_brute_force_on_tiny_inputs(self):
        rng = np.random.default_rng(10)
        for _ in range(100):
            values = np.sort(rng.integers(-20, 20, 7)).astype(np.float32)
            centroids, codes = cluster_values(values, 2)
            splits = [
                sum(np.square(part - part.mean()).sum() for part in parts)
                for parts in (np.split(values, [i]) for i in range(1, 7))
            ]
            found = inertia(values, centroids, codes)
            self.assertAlmostEqual(found, min(splits), delta=1e-3)

    def test_centroids_are_means(self):
        values = np.random.default_rng(11).normal(size=50_000)
        values = values.astype(np.float32)
        centroids, codes = cluster_values(values, 16)
        for index, centroid in enumerate(centroids):
            mean = values[codes == index].mean(dtype=np.float64)
            self.assertAlmostEqual(centroid, mean, delta=2e-4)

    def test_few_distinct_values(self):
        values = np.array([3.0, -1.0, 3.0, 0.5, -1.0], np.float32)
        for num_clusters in (3, 4, 256):
            centroids, codes = cluster_values(values, num_clusters)
            np.testing.assert_array_equal(centroids, [-1.0, 0.5, 3.0])
            np.testing.assert_array_equal(centroids[codes], values)

    def test_code_dtype(self):
        values = np.arange(2000.0)
        self.assertEqual(cluster_values(values, 256)[1].dtype, np.uint8)

    def test_scales_with_the_values(self):
        values = np.random.default_rng(12).normal(size=500)
        centroids, codes = cluster_values(values, 8)
        for scale in (2.0**-100, 2.0**100):
            scaled, scaled_codes = cluster_values(values * scale, 8)
            np.testing.assert_allclose(scaled, centroids * scale, rtol=1e-6)
            np.testing.assert_array_equal(scaled_codes, codes)

    def test_order_of_values_does_not_matter(self):
        rng = np.random.default_rng(13)
        values = rng.normal(size=30_000).astype(np.float32)
        order = rng.permutation(values.size)
        centroids, codes = cluster_values(values, 16)
        shuffled, shuffled_codes = cluster_values(values[order], 16)
        np.testing.assert_array_equal(shuffled, centroids)
        np.testing.assert_array_equal(shuffled_codes, codes[order])

    def test_speed(self):
        values = np.random.default_rng(14).normal(size=10**6)
        start = time.perf_counter()
        cluster_values(values, 16)
        self.assertLess(time.perf_counter() - start, 1.0)

    @parameterized.parameters(0, -1, 257)
    def test_num_clusters_out_of_range(self, num_clusters):
        with self.assertRaisesRegex(ValueError, f"Received: {num_clusters}"):
            cluster_values(np.arange(9.0), num_clusters)


class LinearValuesTest(parameterized.TestCase):
    @parameterized.product(draw=DRAWS, bits=(2, 3, 4, 8))
    def test_symmetric_even_grid(self, draw, bits):
        values = draw(np.random.default_rng(bits), 700).astype(np.float32)
        centroids, codes = linear_values(values, 2**bits)
        top = 2 ** (bits - 1) - 1
        scale = np.abs(values).max() / np.float32(top)
        self.assertEqual(centroids.dtype, np.float32)
        np.testing.assert_array_equal(centroids, -centroids[::-1])
        np.testing.assert_allclose(
            centroids, scale * np.arange(-top, top + 1), rtol=1e-6
        )
        error = np.abs(centroids[codes].astype(np.float64) - values)
        self.assertLessEqual(error.max(), scale / 2 * (1 + 1e-5))

    def test_one_bit(self):
        values = np.array([-3.0, 1.0, 2.0, -2.0])
        centroids, codes = linear_values(values, 2)
        np.testing.assert_array_equal(centroids, [-2.0, 2.0])
        np.testing.assert_array_equal(codes, [0, 1, 1, 0])

    @parameterized.parameters(2, 4, 256)
    def test_all_zero(self, num_clusters):
        centroids, codes = linear_values(np.zeros(5), num_clusters)
        np.testing.assert_array_equal(centroids, [0.0])
        np.testing.assert_array_equal(codes, np.zeros(5))

    def test_code_dtype(self):
        values = np.arange(1.0, 9.0)
        self.assertEqual(linear_values(values, 256)[1].dtype, np.uint8)

    @parameterized.parameters(0, 1, 3, 12, 512)
    def test_not_a_power_of_two(self, num_clusters):
        with self.assertRaisesRegex(ValueError, f"Received: {num_clusters}"):
            linear_values(np.arange(9.0), num_clusters)


class InvalidValuesTest(parameterized.TestCase):
    @parameterized.product(
        function=(cluster_values, linear_values),
        bad=(np.nan, np.inf, -np.inf, 1e39),
    )
    def test_not_finite(self, function, bad):
        with self.assertRaisesRegex(ValueError, "index 2"):
            function(np.array([0.0, 1.0, bad, 2.0]), 2)

    @parameterized.parameters(cluster_values, linear_values)
    def test_empty_or_not_flat(self, function):
        with self.assertRaisesRegex(ValueError, r"shape \(0,\)"):
            function(np.zeros(0), 2)
        with self.assertRaisesRegex(ValueError, r"shape \(2, 2\)"):
            function(np.zeros((2, 2)), 2)


class OrderedBinsTest(parameterized.TestCase):
    @parameterized.parameters("normal", "wide", "few")
    def test_points_and_codes(self, kind):
        rng = np.random.default_rng(0)
        values = rng.standard_normal(20_000).astype(np.float32)
        if kind == "wide":
            values = np.exp(20 * values) * np.sign(values - 0.1)
        elif kind == "few":
            values = np.rint(values)
        values = values.astype(np.float32)
        bins = OrderedBins(values)
        self.assertEqual(bins.weights.sum(), values.size)
        self.assertTrue((np.diff(bins.points) > 0).all())
        total = (bins.points * bins.weights).sum()
        scale = np.abs(values).sum(dtype=np.float64)
        self.assertLess(abs(total - values.sum(dtype=np.float64)), 1e-9 * scale)
        # Bounds between values, on them, and in one bin with them.
        bounds = np.concatenate(
            [
                rng.choice(values, 5),
                np.nextafter(rng.choice(values, 5), np.float32(np.inf)),
                rng.choice(values, 5) * (1 + 1e-12),
                [0.0, -0.0],
            ]
        )
        bounds = np.sort(bounds.astype(np.float64))
        np.testing.assert_array_equal(
            bins.codes(bounds), np.searchsorted(bounds, values)
        )
