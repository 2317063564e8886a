"""Tests of what is decoded, and what of it is kept."""

from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tests.bank.random_tasks import random_bank
from tsn_keras.bank import Component, weight_bank
from tsn_keras.bank.decoder import Plane, RecentlyUsed


class KernelDecoderTest(parameterized.TestCase):
    @parameterized.product(kept=(0, 300, 2**20), num_planes=(1, 3))
    def test_kernels_do_not_depend_on_what_is_kept(self, kept, num_planes):
        expected = random_bank(6, num_planes)
        with mock.patch.object(weight_bank, "KEPT_SLOTS_BYTES", kept):
            bank = random_bank(6, num_planes)
        for number in np.random.default_rng(0).integers(0, 6, 30):
            name = f"task {number}"
            # Decoded in a bank that has kept nothing.
            fresh = random_bank(1)
            fresh.load_bytes(expected.to_bytes())
            for one, other in zip(bank.effective(name), fresh.effective(name)):
                self.assertEqual(one.dtype, np.float32)
                np.testing.assert_array_equal(one, other)
                # What a caller does to a kernel reaches no other one.
                one[...] = np.nan

    @parameterized.parameters(False, True)
    def test_is_decoded_once_while_it_is_kept(self, loaded):
        bank = random_bank(4, num_planes=4)
        expected = {name: bank.effective(name) for name in bank.tasks}
        if loaded:
            bank.load_bytes(bank.to_bytes())
        with mock.patch.object(
            Component,
            "own_values",
            autospec=True,
            side_effect=Component.own_values,
        ) as own_values:
            for _ in range(3):
                for name in bank.tasks:
                    found = bank.effective(name)
                    for one, other in zip(found, expected[name]):
                        np.testing.assert_array_equal(one, other)
        # What a task has just been found to own is known without decoding.
        count = 4 * len(bank["task 0"].components) if loaded else 0
        self.assertEqual(own_values.call_count, count)

    def test_what_is_kept_is_bounded(self):
        with mock.patch.object(weight_bank, "KEPT_SLOTS_BYTES", 500):
            bank = random_bank(6, num_planes=6)
        with mock.patch.object(
            Component,
            "own_values",
            autospec=True,
            side_effect=Component.own_values,
        ) as own_values:
            for name in bank.tasks * 3:
                bank.effective(name)
        # Not all fit, so they were forgotten until they came up again.
        self.assertGreater(own_values.call_count, 2 * 6 * 2)

    def test_unknown_task(self):
        with self.assertRaises(KeyError):
            random_bank(1).effective("task 7")


class RecentlyUsedTest(absltest.TestCase):
    def test_forgets_what_was_used_longest_ago(self):
        kept = RecentlyUsed(most=2)
        kept.put("a", 1)
        kept.put("b", 2)
        self.assertEqual(kept.get("a"), 1)
        kept.put("c", 3)
        self.assertNotIn("b", kept)
        self.assertIsNone(kept.get("b"))
        self.assertEqual((kept.get("a"), kept.get("c")), (1, 3))

    def test_size_stays_bounded(self):
        kept = RecentlyUsed(most=500, size_of=len)
        rng = np.random.default_rng(0)
        for key, size in enumerate(rng.integers(1, 700, 200)):
            kept.put(key, bytes(size))
            sizes = [len(kept.get(k)) for k in range(key + 1) if k in kept]
            self.assertEqual(kept.size, sum(sizes))
            self.assertTrue(kept.size <= 500 or sizes == [size])
            self.assertIn(key, kept)


class PlaneTest(parameterized.TestCase):
    def test_every_task_sees_what_was_there(self):
        rng = np.random.default_rng(0)
        shape = (7, 3, 5)
        plane = Plane(shape)
        owned, frozen = np.zeros(shape, bool), np.zeros(shape, np.float32)
        seen = [owned.copy()]
        for _ in range(6):
            own = ~owned & (rng.random(shape) < 0.2)
            values = rng.normal(size=np.count_nonzero(own)).astype(np.float32)
            plane.lay(own, values)
            owned |= own
            frozen[own] = values
            seen.append(owned.copy())
        self.assertEqual(plane.count, 6)
        np.testing.assert_array_equal(plane.frozen, frozen)
        for count, expected in enumerate(seen):
            np.testing.assert_array_equal(plane.owned(count), expected)
