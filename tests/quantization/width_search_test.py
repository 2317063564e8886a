import numpy as np
from absl.testing import parameterized

from tsn_keras.quantization import (
    Codebook,
    code_bits,
    place_all,
    search_widths,
    widen_worst,
)
from tsn_keras.quantization.width_search import WORTHWHILE, by_size, halves


def kernels_and_own(seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(8, 6), (20, 10), (5, 5)]
    kernels = [rng.normal(size=s).astype(np.float32) for s in shapes]
    own = [rng.random(s) < 0.6 for s in shapes]
    return kernels, own


def error(kernels, candidate, index):
    return np.abs(kernels[index] - candidate[index]).max()


class SearchWidthsTest(parameterized.TestCase):
    @parameterized.product(kind=("clustered", "linear"), limit=(0.5, 0.1, 0.02))
    def test_smallest_acceptable_width(self, kind, limit):
        kernels, own = kernels_and_own()

        def quality(candidate):
            return -max(error(kernels, candidate, i) for i in range(3))

        found = search_widths(kernels, own, quality, -limit, 1, [8] * 3, kind)
        for index, codebook in enumerate(found):
            values = kernels[index][own[index]]
            fits = [
                np.abs(values - Codebook.fit(values, w, kind).values()).max()
                for w in range(1, 9)
            ]
            smallest = 1 + int(np.argmax(np.array(fits) <= limit))
            self.assertEqual(codebook.width, smallest)

    def test_widths_differ_by_kernel(self):
        kernels, own = kernels_and_own()

        def quality(candidate):
            return -error(kernels, candidate, 1)

        found = search_widths(kernels, own, quality, -0.05, 1, [8] * 3)
        self.assertEqual([found[0].width, found[2].width], [1, 1])
        self.assertGreater(found[1].width, 3)

    @parameterized.parameters(([2, 3, 1], 1), ([2, 3, 1], 2), ([8, 8, 5], 4))
    def test_limits(self, limits, min_width):
        kernels, own = kernels_and_own()
        never = search_widths(
            kernels, own, lambda _: 0.0, 1.0, min_width, limits
        )
        self.assertEqual([c.width for c in never], limits)
        at_once = search_widths(
            kernels, own, lambda _: 1.0, 1.0, min_width, limits
        )
        self.assertEqual(
            [c.width for c in at_once], [min(min_width, x) for x in limits]
        )

    def test_deep_networks_take_few_validations(self):
        kernels, own = kernels_and_own()
        kernels, own = kernels * 40, own * 40
        calls = []

        def quality(candidate):
            calls.append(candidate)
            return -error(kernels, candidate, 50)

        found = search_widths(kernels, own, quality, -0.05, 1, [8] * 120)
        self.assertGreaterEqual(quality(place_all(kernels, own, found)), -0.05)
        self.assertLess(len(calls), 30)
        # Small kernels get more bits together, and the others none.
        slots = [c.codes.size for c in found]
        widened = [c.codes.size for c in found if c.width > 1]
        self.assertLess(sum(widened), WORTHWHILE * sum(slots))

    def test_own_weights_only(self):
        kernels, own = kernels_and_own()
        candidates = []

        def quality(candidate):
            candidates.append(candidate)
            return 0.0

        search_widths(kernels, own, quality, 1.0, 1, [2] * 3)
        for candidate in candidates:
            for kernel, mask, value in zip(kernels, own, candidate):
                np.testing.assert_array_equal(value[~mask], kernel[~mask])
        # What lies outside the own slots changes no codebook.
        others = [np.where(m, k, 1e6) for k, m in zip(kernels, own)]
        others = [other.astype(np.float32) for other in others]
        one = search_widths(kernels, own, lambda _: 0.0, 1.0, 1, [3] * 3)
        other = search_widths(others, own, lambda _: 0.0, 1.0, 1, [3] * 3)
        for a, b in zip(one, other):
            np.testing.assert_array_equal(a.centroids, b.centroids)
            np.testing.assert_array_equal(a.codes, b.codes)

    def test_kernel_without_own_slots(self):
        kernels, own = kernels_and_own()
        own[1][:] = False
        found = search_widths(kernels, own, lambda _: 0.0, 1.0, 1, [3] * 3)
        self.assertEqual([c.width for c in found], [3, 1, 3])
        self.assertEqual(found[1].codes.size, 0)
        placed = place_all(kernels, own, found)
        np.testing.assert_array_equal(placed[1], kernels[1])


class WidenWorstTest(parameterized.TestCase):
    def test_worst_grows_by_one_bit(self):
        kernels, own = kernels_and_own()
        codebooks = [
            Codebook.fit(kernel[mask], width)
            for kernel, mask, width in zip(kernels, own, (4, 1, 3))
        ]
        widened = widen_worst(kernels, own, codebooks, [8] * 3)
        self.assertEqual([c.width for c in widened], [4, 2, 3])
        self.assertIs(widened[0], codebooks[0])
        self.assertEqual(codebooks[1].width, 1)

    def test_up_to_the_limits(self):
        kernels, own = kernels_and_own()
        limits = [2, 3, 1]
        codebooks = [Codebook.fit(k[m], 1) for k, m in zip(kernels, own)]
        steps = 0
        while codebooks is not None:
            last = codebooks
            codebooks = widen_worst(kernels, own, codebooks, limits)
            steps += 1
        self.assertEqual([c.width for c in last], limits)
        self.assertEqual(steps, 4)

    @parameterized.product(max_bits=(0, 500, 700, 1000), widen=(False, True))
    def test_no_more_bits_than_there_are(self, max_bits, widen):
        kernels, own = kernels_and_own()
        sizes = [np.count_nonzero(mask) for mask in own]
        limits, kind = [8] * 3, "clustered"
        least = [Codebook.fit(k[m], 1) for k, m in zip(kernels, own)]
        if widen:
            codebooks = least
            while codebooks is not None:
                found = codebooks
                codebooks = widen_worst(
                    kernels, own, found, limits, kind, max_bits
                )
        else:
            found = search_widths(
                kernels, own, lambda _: 0.0, 1.0, 1, limits, kind, max_bits
            )
        taken = code_bits([c.width for c in found], sizes)
        self.assertLessEqual(taken, max(max_bits, code_bits([1] * 3, sizes)))
        # One more bit for the smallest kernel would be too much.
        wider = min(
            code_bits([c.width + (i == j) for j, c in enumerate(found)], sizes)
            for i in range(3)
        )
        self.assertGreater(wider, max_bits)

    def test_nothing_to_gain(self):
        kernels = [np.float32([[1, -1], [1, -1]])]
        own = [np.ones((2, 2), bool)]
        codebooks = [Codebook.fit(kernels[0][own[0]], 1)]
        self.assertIsNone(widen_worst(kernels, own, codebooks, [8]))

    def test_weights_that_are_all_zero(self):
        kernels = [np.zeros((2, 2), np.float32), np.float32([[1, 2], [3, 4]])]
        own = [np.ones((2, 2), bool)] * 2
        codebooks = [Codebook.fit(k.reshape(-1), 1) for k in kernels]
        widened = widen_worst(kernels, own, codebooks, [8, 8])
        self.assertEqual([c.width for c in widened], [1, 2])


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
