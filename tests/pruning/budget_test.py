import numpy as np
from absl.testing import parameterized

from tsn_keras.pruning.budget import (
    code_bytes,
    divide_budget,
    fewest_slots,
    smallest_budget,
)

SIZES = (100, 2000, 30000)


def importances(seed):
    rng = np.random.default_rng(seed)
    return [
        scale * rng.normal(size=size).astype(np.float32) ** 2
        for size, scale in zip(SIZES, (3.0, 1.0, 0.3))
    ]


class AllocationTest(parameterized.TestCase):
    @parameterized.product(
        budget=(700, 2000, 6000), width=(1, 2, 8, 32), seed=(0, 1)
    )
    def test_keeps_the_budget_and_uses_it(self, budget, width, seed):
        values = importances(seed)
        free = [np.ones(size, bool) for size in SIZES]
        if budget < smallest_budget(SIZES, width):
            self.skipTest("no budget for so many bits")
        kept = divide_budget(values, free, budget, width)
        cost = sum(code_bytes(k, n, width) for k, n in zip(kept, SIZES))
        self.assertLessEqual(cost, budget)
        if kept == list(SIZES):
            return
        one_more = [min(k + 2, n) for k, n in zip(kept, SIZES)]
        more = sum(code_bytes(k, n, width) for k, n in zip(one_more, SIZES))
        self.assertGreater(more, budget)

    def test_one_threshold_for_all(self):
        values = importances(0)
        free = [np.ones(size, bool) for size in SIZES]
        kept = divide_budget(values, free, 3000, 3)
        thresholds = [
            np.sort(v)[-k] for v, k in zip(values, kept) if k > v.size // 50
        ]
        left = [np.sort(v)[-k - 1] for v, k in zip(values, kept)]
        self.assertGreaterEqual(min(thresholds), max(left))

    def test_no_kernel_collapses(self):
        values = importances(0)
        values[2] *= 1e-9
        free = [np.ones(size, bool) for size in SIZES]
        kept = divide_budget(values, free, 600, 2)
        self.assertEqual(kept[2], fewest_slots(SIZES[2]))

    def test_only_available_slots(self):
        values = importances(0)
        free = [np.arange(size) < size // 10 for size in SIZES]
        kept = divide_budget(values, free, 1e6, 2)
        self.assertEqual(kept, [size // 10 for size in SIZES])
