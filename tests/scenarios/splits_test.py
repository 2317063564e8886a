"""Tests of how examples are split."""

import numpy as np
from absl.testing import parameterized

from tsn_keras.scenarios import splits


class SplitTest(parameterized.TestCase):
    @parameterized.product(
        count=(3, 4, 10, 57),
        validation=(0.01, 0.2, 0.9),
        test=(0.05, 0.4),
    )
    def test_every_part_has_every_class(self, count, validation, test):
        labels = np.repeat([0, 1, 7], count)
        fractions = {"validation": validation, "test": test}
        parts = splits.split(labels, fractions, (3, 4))
        self.assertEqual(list(parts), ["train", "validation", "test"])
        rows = np.concatenate(list(parts.values()))
        self.assertEqual(sorted(rows.tolist()), list(range(3 * count)))
        for taken in parts.values():
            _, counts = np.unique(labels[taken], return_counts=True)
            self.assertLen(counts, 3)
            self.assertLen(set(counts), 1)

    def test_fractions_are_kept(self):
        labels = np.zeros(100, int)
        parts = splits.split(labels, {"validation": 0.2, "test": 0.3}, (0,))
        sizes = [len(rows) for rows in parts.values()]
        self.assertEqual(sizes, [50, 20, 30])

    def test_the_seed_decides(self):
        labels = np.zeros(50, int)
        first, again, other = (
            splits.split(labels, {"test": 0.5}, (seed,))["test"].tolist()
            for seed in (1, 1, 2)
        )
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
