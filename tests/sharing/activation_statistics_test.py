import functools

import keras
import numpy as np
from absl.testing import parameterized

from tests.threads import at_once
from tsn_keras.bank import PrivateCode
from tsn_keras.layers import Subnetwork
from tsn_keras.sharing import (
    activation_statistics,
    kl_divergence,
    masked_layers,
)


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def statistics_of(layer, x):
    return activation_statistics(lambda: layer(x), [layer])


class KLDivergenceTest(parameterized.TestCase):
    def test_zero_for_the_same(self):
        for seed in range(5):
            statistics = normal((20,), seed)
            self.assertEqual(kl_divergence(statistics, statistics), 0.0)

    def test_positive_for_others(self):
        for seed in range(20):
            one, other = normal((20,), seed), normal((20,), seed + 99)
            self.assertGreater(kl_divergence(one, other), 0.0)

    def test_formula(self):
        # KL(N(1, 2) || N(3, 4)) and KL(N(0, 1) || N(0, 1)), their mean.
        new = np.float64([1 / 2, 0, np.log(2), 0])
        stored = np.float64([3 / 4, 0, np.log(4), 0])
        first = np.log(4 / 2) + (2**2 + (1 - 3) ** 2) / (2 * 4**2) - 0.5
        self.assertAlmostEqual(kl_divergence(new, stored), first / 2)
        self.assertNotEqual(
            kl_divergence(new, stored), kl_divergence(stored, new)
        )

    def test_nothing_to_compare(self):
        empty = np.zeros(0, np.float32)
        self.assertEqual(kl_divergence(empty, empty), float("inf"))
        self.assertEqual(
            kl_divergence(np.ones(4), np.ones(2)),
            float("inf"),
        )


class ActivationStatisticsTest(parameterized.TestCase):
    def test_each_thread_sees_its_own_calls(self):
        layer = keras.layers.Dense(3)
        inputs = [normal((20, 4), seed) for seed in range(4)]
        expected = [statistics_of(layer, x) for x in inputs]

        def ask(x):
            return [statistics_of(layer, x) for _ in range(50)]

        found = at_once(*(functools.partial(ask, x) for x in inputs))
        for same, statistics in zip(found, expected):
            for one in same:
                np.testing.assert_array_equal(one, statistics)

    def test_means_then_deviations(self):
        layer = keras.layers.Dense(3)
        x = normal((200, 4))
        y = np.asarray(layer(x))
        statistics = statistics_of(layer, x)
        mean, deviation = y.mean(0), y.std(0)
        self.assertEqual(statistics.dtype, np.float32)
        np.testing.assert_allclose(
            statistics[:3], mean / deviation, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            statistics[3:], np.log(deviation), rtol=1e-4, atol=1e-5
        )

    def test_nearer_inputs_are_nearer(self):
        layer = keras.layers.Dense(8, activation="relu")
        x = normal((300, 6))
        stored = statistics_of(layer, x)
        same = kl_divergence(statistics_of(layer, x), stored)
        alike = kl_divergence(statistics_of(layer, normal((300, 6), 1)), stored)
        other = kl_divergence(statistics_of(layer, x * 2 + 1), stored)
        self.assertEqual(same, 0.0)
        self.assertGreater(alike, 0.0)
        self.assertGreater(other, 5 * alike)

    def test_many_units_and_inner_axes(self):
        layer = keras.layers.Conv2D(100, 3)
        statistics = statistics_of(layer, normal((4, 8, 8, 2)))
        self.assertEqual(statistics.shape, (32,))
        y = np.asarray(layer(normal((4, 8, 8, 2)))).reshape(-1, 100)
        for place, unit in ((0, 0), (15, 99)):
            expected = y[:, unit].mean() / y[:, unit].std()
            self.assertAlmostEqual(statistics[place], expected, places=3)

    def test_dead_units_have_the_floor_both_ways(self):
        layer = keras.layers.Dense(4)
        layer.build((None, 4))
        kernel = np.eye(4, dtype=np.float32)
        kernel[:, 0] = 0
        layer.set_weights([kernel, np.zeros(4, np.float32)])
        deviations = np.exp(statistics_of(layer, normal((500, 4)))[4:])
        self.assertBetween(deviations[0], 0.07, 0.1)
        # A unit that comes alive, or dies, does not count without bound.
        kernel[0, 0] = 1
        alive = statistics_of(layer, normal((500, 4)))
        layer.set_weights([kernel, np.zeros(4, np.float32)])
        dead = statistics_of(layer, normal((500, 4)))
        self.assertLess(kl_divergence(alive, dead), 20)
        self.assertLess(kl_divergence(dead, alive), 20)

    def test_all_dead(self):
        layer = keras.layers.Dense(4, kernel_initializer="zeros")
        statistics = statistics_of(layer, normal((50, 3)))
        self.assertTrue(np.isfinite(statistics).all())
        self.assertEqual(kl_divergence(statistics, statistics), 0.0)

    @parameterized.parameters(1e7, 1e30)
    def test_huge_activations_stay_finite(self, scale):
        layer = keras.layers.Dense(4)
        statistics = statistics_of(layer, normal((50, 3)) * np.float32(scale))
        self.assertTrue(np.isfinite(statistics).all())
        other = statistics_of(layer, normal((50, 3)))
        self.assertTrue(np.isfinite(kl_divergence(statistics, other)))

    def test_almost_constant_units_have_bounds(self):
        layer = keras.layers.Dense(4, bias_initializer="ones")
        statistics = statistics_of(layer, 1e-3 * normal((50, 3)))
        np.testing.assert_array_equal(statistics[:4], 16.0)

    @parameterized.parameters(0, 1, 2)
    def test_eight_bits_hold_them(self, seed):
        layer = keras.layers.Dense(16, activation="relu")
        first, second = normal((300, 6), seed), normal((300, 6), seed + 9)
        new, stored = (statistics_of(layer, x) for x in (first, second * 1.2))
        code = PrivateCode.encode(stored, 8)
        self.assertLen(code.data, 8 + 32)
        self.assertAlmostEqual(
            kl_divergence(new, code.decode()),
            kl_divergence(new, stored),
            delta=0.01,
        )

    def test_low_precision(self):
        layer = keras.layers.Dense(4, dtype="mixed_bfloat16")
        statistics = statistics_of(layer, normal((50, 3)))
        self.assertEqual(statistics.shape, (8,))
        self.assertTrue(np.isfinite(statistics).all())

    def test_layers_are_left_as_they_were(self):
        layer = keras.layers.Dense(4)
        x = normal((5, 3))
        before = np.asarray(layer(x))
        statistics_of(layer, x)
        self.assertNotIn("call", vars(layer))
        np.testing.assert_array_equal(layer(x), before)

        def fail():
            raise KeyError("sample")

        with self.assertRaises(KeyError):
            activation_statistics(fail, [layer])
        self.assertNotIn("call", vars(layer))

    def test_no_layers(self):
        self.assertEqual(activation_statistics(lambda: None, []).size, 0)


class MaskedLayersTest(parameterized.TestCase):
    def test_owners_in_the_order_of_kernels(self):
        first, second = keras.layers.Dense(4), keras.layers.LSTM(3)
        inner = keras.Sequential(
            [first, keras.layers.BatchNormalization(), second]
        )
        network = Subnetwork(inner)
        network(normal((2, 5, 6)))
        kernels = [kernel.kernel for kernel in network.kernels]
        self.assertLen(kernels, 3)
        owners = masked_layers(network, kernels)
        self.assertLen(owners, 2)
        self.assertIs(owners[0], first)
        self.assertIn(owners[1], (second, second.cell))
        statistics = activation_statistics(
            lambda: network(normal((2, 5, 6))), owners
        )
        self.assertEqual(statistics.shape, (2 * (4 + 3),))

    def test_shared_layer_counts_once(self):
        shared = keras.layers.Dense(5)
        inputs = keras.Input((5,))
        network = Subnetwork(keras.Model(inputs, shared(shared(inputs))))
        network(normal((2, 5)))
        kernels = [kernel.kernel for kernel in network.kernels]
        (owner,) = masked_layers(network, kernels)
        self.assertIs(owner, shared)
