import numpy as np
from absl.testing import parameterized

from tsn_keras.pruning import refine


def kernels_and_own(seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(10, 10), (20, 30)]
    kernels = [rng.normal(size=s).astype(np.float32) for s in shapes]
    own = [rng.random(s) < 0.6 for s in shapes]
    return kernels, own


class RefineTest(parameterized.TestCase):
    def test_removes_down_to_a_tenth_where_nothing_is_lost(self):
        kernels, own = kernels_and_own()
        pruned, kept = refine(kernels, own, lambda _: 1.0, 0.0, steps=20)
        for before, after in zip(own, kept):
            tenth = int(0.1 * before.sum())
            self.assertBetween(
                after.sum(), tenth, tenth + max(2, before.sum() // 100)
            )
        for kernel, value, before, after in zip(kernels, pruned, own, kept):
            removed = before & ~after
            np.testing.assert_array_equal(value[removed], 0)
            np.testing.assert_array_equal(value[~removed], kernel[~removed])
            self.assertFalse((after & ~before).any())
            self.assertGreaterEqual(
                np.abs(kernel[after]).min(), np.abs(kernel[removed]).max()
            )

    def test_removes_nothing_where_all_counts(self):
        kernels, own = kernels_and_own()

        def quality(candidate):
            return float(sum((kernel != 0).sum() for kernel in candidate))

        pruned, kept = refine(kernels, own, quality, 0.5)
        for before, after in zip([*kernels, *own], [*pruned, *kept]):
            np.testing.assert_array_equal(before, after)

    @parameterized.parameters(10, 40, 200)
    def test_tolerance_is_for_all_kernels_together(self, tolerance):
        kernels, own = kernels_and_own()

        def quality(candidate):
            return float(sum((kernel != 0).sum() for kernel in candidate))

        pruned, kept = refine(kernels, own, quality, tolerance, steps=20)
        lost = quality(kernels) - quality(pruned)
        self.assertLessEqual(lost, tolerance)
        self.assertGreater(lost, tolerance - 8)
        self.assertEqual(
            lost, sum(o.sum() - k.sum() for o, k in zip(own, kept))
        )

    def test_arguments_are_left_alone(self):
        kernels, own = kernels_and_own()
        copies = [np.copy(array) for array in kernels + own]
        refine(kernels, own, lambda _: 1.0, 0.0)
        for array, copy in zip(kernels + own, copies):
            np.testing.assert_array_equal(array, copy)

    @parameterized.parameters(0, 1, 2, 3, 5)
    def test_few_own_slots(self, count):
        kernel = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
        own = np.arange(12).reshape(3, 4) < count
        evaluated = []

        def quality(candidate):
            evaluated.append(int((candidate[0] != 0).sum()))
            return 1.0 if evaluated[-1] == 12 else 0.0

        _, kept = refine([kernel], [own], quality, 0.0)
        np.testing.assert_array_equal(kept[0], own)
        # No candidate twice, and none without own slots.
        self.assertLen(set(evaluated), len(evaluated))
        _, kept = refine([kernel], [own], lambda _: 1.0, 0.0)
        self.assertEqual(kept[0].sum(), min(count, 1))

    def test_evaluations_are_limited(self):
        kernels, own = kernels_and_own()
        calls = []
        refine(kernels, own, lambda k: float(len(calls.append(k) or [])), 0.0)
        self.assertLessEqual(len(calls), 1 + 2 * 4)
