import numpy as np
from absl.testing import parameterized

from tests.bank.random_tasks import random_bank
from tsn_keras.bank import SLOT_BITS, WeightBank
from tsn_keras.evaluation.occupancy import (
    bytes_by_task,
    mask_overlap,
    occupancy,
)


class OccupancyTest(parameterized.TestCase):
    def test_bits_are_those_of_the_bank(self):
        bank = random_bank(4)
        for index, kernel in enumerate(occupancy(bank)):
            used = bank.used_bits(index)
            self.assertEqual(kernel.path, bank.paths[index])
            self.assertEqual(kernel.size, used.size)
            self.assertEqual(sum(kernel.bits), used.sum())
            self.assertEqual(kernel.most, used.max())
            self.assertAlmostEqual(kernel.fraction, used.mean() / SLOT_BITS)

    def test_slots_tell_who_owns_how_many_bits(self):
        bank = random_bank(4)
        for index, kernel in enumerate(occupancy(bank)):
            # So few slots are all shown.
            self.assertLen(kernel.slots, kernel.size)
            sums = [sum(width for _, width in slot) for slot in kernel.slots]
            self.assertEqual(
                sums, sorted(bank.used_bits(index).ravel(), reverse=True)
            )
            for number, task in enumerate(bank.tasks):
                owned = sum(dict(slot).get(number, 0) for slot in kernel.slots)
                self.assertEqual(owned, kernel.bits[number])

    def test_a_sample_of_a_large_kernel(self):
        bank = WeightBank([(300, 200)], ["a"])
        (kernel,) = occupancy(bank)
        self.assertLen(kernel.slots, 96)
        self.assertEqual(set(kernel.slots), {()})

    def test_overlap(self):
        bank = random_bank(4)
        overlap = mask_overlap(bank)
        used = [
            np.concatenate([mask.ravel() for mask in bank.used_slots(task)])
            for task in bank.tasks
        ]
        expected = [
            [(one & other).sum() / (one | other).sum() for other in used]
            for one in used
        ]
        np.testing.assert_allclose(overlap, expected)

    def test_no_task(self):
        bank = WeightBank([(3, 4)], ["a"])
        self.assertEqual(mask_overlap(bank).shape, (0, 0))
        self.assertEqual(bytes_by_task(bank), {})

    def test_bytes_add_up(self):
        bank = random_bank(4)
        by_task = bytes_by_task(bank)
        self.assertEqual(list(by_task), list(bank.tasks))
        whole = bank.count_bytes()
        for kind in next(iter(by_task.values())):
            total = sum(sizes[kind] for sizes in by_task.values())
            self.assertEqual(total, whole[kind])
