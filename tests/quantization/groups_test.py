"""Tests of groups that a search divides."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.quantization.groups import WORTHWHILE, by_size, halves


def all_parts(group, sizes):
    """Divides a group until nothing is worth it; returns what is left."""
    parts = halves(group, sizes)
    if parts is None:
        return [group]
    return [part for half in parts for part in all_parts(half, sizes)]


class GroupsTest(parameterized.TestCase):
    def test_by_size(self):
        self.assertEqual(by_size([3, 0, 7, 3]), [2, 0, 3])

    @parameterized.parameters(range(8))
    def test_parts_are_few_and_hold_everything(self, seed):
        generator = np.random.default_rng(seed)
        sizes = np.int64(1 + generator.pareto(0.5, 300)).tolist()
        group = by_size(sizes)
        parts = all_parts(group, sizes)
        self.assertEqual([i for part in parts for i in part], group)
        self.assertLess(len(parts), 4 / WORTHWHILE)
        # What has so much of everything is divided.
        divided = [
            part
            for part in parts
            if sum(sizes[i] for i in part) >= WORTHWHILE * sum(sizes)
        ]
        for part in divided:
            self.assertLen(part, 1)

    def test_halves_are_about_equal(self):
        sizes = [1] * 64
        first, second = halves(by_size(sizes), sizes)
        self.assertEqual((len(first), len(second)), (32, 32))
        self.assertLen(all_parts(by_size(sizes), sizes), 32)

    def test_nothing_to_divide(self):
        self.assertIsNone(halves([], [1, 2]))
        self.assertIsNone(halves([1], [1, 2]))
