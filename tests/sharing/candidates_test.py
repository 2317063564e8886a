"""Tests of the choice of earlier tasks to compare with."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.sharing import Nearest, compare


def stream(points, most):
    """Compares each point with those before; the square is the divergence.

    Returns for each point the divergences that were found, and all of them.
    """
    earlier, results = {}, []
    for number, point in enumerate(points):
        every = {
            f"task {i}": float(np.sum((point - points[i]) ** 2))
            for i in range(number)
        }
        found = compare(earlier, every.__getitem__, most)
        nearest = min(found, key=found.get, default=None)
        earlier[f"task {number}"] = Nearest(nearest, found.get(nearest))
        results.append((found, every))
    return results


def turned(count):
    """Points of a circle, as of images turned by any angle."""
    angles = 2 * np.pi * np.random.default_rng(0).permutation(count) / count
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def clusters(count):
    random = np.random.default_rng(0)
    centres = 3 * random.standard_normal((10, 8))
    noise = 0.05 * random.standard_normal((count, 8))
    return centres[random.integers(10, size=count)] + noise


class CompareTest(parameterized.TestCase):
    @parameterized.parameters(None, 12, 100)
    def test_few_tasks_are_all_compared_in_order(self, most):
        for number, (found, every) in enumerate(stream(turned(12), most)):
            self.assertEqual(list(found.items()), list(every.items()))
            self.assertLen(found, number)

    @parameterized.parameters((turned, 0.9), (clusters, 0.9))
    def test_the_nearest_task_is_among_the_candidates(self, make, wanted):
        hits = []
        for found, every in stream(make(150), 24)[1:]:
            self.assertLen(found, min(len(every), 24))
            self.assertEqual(list(found), [n for n in every if n in found])
            hits.append(min(every, key=every.get) in found)
        self.assertGreater(np.mean(hits), wanted)

    def test_each_divergence_is_computed_once(self):
        names = [f"task {number}" for number in range(40)]
        computed = []

        def divergence_from(name):
            computed.append(name)
            return 1.0

        compare(dict.fromkeys(names, Nearest(None, None)), divergence_from, 5)
        self.assertLen(set(computed), 5)
        self.assertLen(computed, 5)
        self.assertEqual(computed[0], "task 39")

    @parameterized.parameters(float("nan"), float("inf"), -1e-9, 0.0)
    def test_odd_divergences(self, value):
        chain = {"task 0": Nearest(None, None)}
        for number in range(1, 10):
            chain[f"task {number}"] = Nearest(f"task {number - 1}", value)
        chain["task 10"] = Nearest("not compared any more", 0.1)
        found = compare(chain, lambda name: value, 4)
        self.assertLen(found, 4)
