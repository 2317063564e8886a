import numpy as np
from absl.testing import parameterized

from tsn_keras.quantization.ordered_bins import OrderedBins


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
