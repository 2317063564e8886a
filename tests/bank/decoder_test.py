"""Tests of what is decoded, and what of it is kept."""

from unittest import mock

import numpy as np
from absl.testing import parameterized

from tests.bank.random_tasks import random_bank
from tsn_keras.bank import decoder


class DecoderTest(parameterized.TestCase):
    @parameterized.product(kept=(0, 300, 2**20), num_planes=(1, 3))
    def test_kernels_do_not_depend_on_what_is_kept(self, kept, num_planes):
        expected = random_bank(6, num_planes)
        bank = random_bank(6, num_planes)
        order = np.random.default_rng(0).integers(0, 6, 30)
        with mock.patch.object(decoder, "KEPT_SLOTS_BYTES", kept):
            for number in order:
                name = f"task {number}"
                # Decoded in a bank that has kept nothing.
                fresh = random_bank(1)
                fresh.load_bytes(expected.to_bytes())
                for one, other in zip(
                    bank.effective(name), fresh.effective(name)
                ):
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
        component = type(bank["task 0"].components[0])
        with mock.patch.object(
            component,
            "own_values",
            autospec=True,
            side_effect=component.own_values,
        ) as own_values:
            for _ in range(3):
                for name in bank.tasks:
                    found = bank.effective(name)
                    for one, other in zip(found, expected[name]):
                        np.testing.assert_array_equal(one, other)
        # What a task has just been found to own is known without decoding.
        count = 4 * len(bank["task 0"].components) if loaded else 0
        self.assertEqual(own_values.call_count, count)

    def test_kept_bytes_stay_bounded(self):
        with mock.patch.object(decoder, "KEPT_SLOTS_BYTES", 500):
            bank = random_bank(6, num_planes=6)
            for name in bank.tasks:
                bank.effective(name)
                kept = bank._decoder._slots
                taken = sum(
                    array.nbytes
                    for parts in kept.values()
                    for pair in parts
                    for array in pair
                )
                self.assertTrue(len(kept) == 1 or taken <= 500)
            # Not all fit.
            self.assertLess(len(kept), 6)

    def test_unknown_task(self):
        with self.assertRaises(KeyError):
            random_bank(1).effective("task 7")
