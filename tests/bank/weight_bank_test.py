import copy
import dataclasses
import functools
import pickle
from unittest import mock

import numpy as np
from absl.testing import parameterized

from tests import faults
from tests.bank.random_tasks import (
    PATHS,
    SHAPES,
    random_bank,
    random_record,
)
from tests.threads import at_once
from tsn_keras.bank import BudgetError, Component, WeightBank


def float_record(bank, name, plane, own):
    """A task with float32 values in the slots `own` of all kernels."""
    record = random_record(bank, name, plane)
    components = []
    for shape in bank.shapes:
        mask = np.full(shape, own)
        free = np.zeros(shape, bool)
        values = np.ones(shape, np.float32)
        components.append(Component.encode(mask, free, free, values, 32))
    return dataclasses.replace(record, components=tuple(components))


def contents(bank, task):
    """What threads read of a task, as bytes."""
    arrays = [*bank.effective(task), *bank.used_slots(task)]
    arrays += [slots for masks in bank.masks(task) for slots in masks]
    arrays += [bank.used_bits(index) for index in range(len(SHAPES))]
    return b"".join(array.tobytes() for array in arrays)


class WeightBankTest(parameterized.TestCase):
    def test_many_threads_read_it(self):
        stored = random_bank(8, num_planes=1)
        expected = [contents(stored, task) for task in stored.tasks]
        records = [stored[task] for task in stored.tasks]
        for _ in range(10):
            # It has decoded nothing yet.
            bank = WeightBank(SHAPES, PATHS, records)
            calls = [functools.partial(contents, bank, t) for t in bank.tasks]
            self.assertEqual(at_once(*calls, interval=1e-6), expected)

    def test_threads_read_it_while_it_grows(self):
        whole = random_bank(8, num_planes=1)
        records = [whole[task] for task in whole.tasks]
        bank = WeightBank(SHAPES, PATHS)

        def grow():
            for record in records:
                bank.add(record)

        def read():
            while len(bank.tasks) < len(records):
                for task in bank.tasks:
                    for one, other in zip(
                        bank.effective(task), whole.effective(task)
                    ):
                        np.testing.assert_array_equal(one, other)

        at_once(grow, read, read, read, interval=1e-6)

    @parameterized.parameters(
        copy.deepcopy, lambda bank: pickle.loads(pickle.dumps(bank))
    )
    def test_copies(self, copied):
        bank = random_bank(3)
        other = copied(bank)
        other.add(random_record(other, "more", 0, 1))
        self.assertEqual(bank.tasks, ("task 0", "task 1", "task 2"))
        for task in bank.tasks:
            for one, two in zip(bank.effective(task), other.effective(task)):
                np.testing.assert_array_equal(one, two)

    def test_tasks_in_order(self):
        bank = random_bank(3)
        self.assertEqual(bank.tasks, ("task 0", "task 1", "task 2"))
        self.assertIn("task 1", bank)
        self.assertNotIn("task 3", bank)
        self.assertEqual(bank.num_planes, 2)
        self.assertEqual(bank["task 1"].plane, 1)

    @parameterized.parameters(1, 2, 5)
    def test_earlier_tasks_never_change(self, num_planes):
        bank = WeightBank(SHAPES, PATHS)
        kernels, private = {}, {}
        for index in range(5):
            name = f"task {index}"
            plane = index % num_planes
            bank.add(random_record(bank, name, plane, 1 + index, seed=index))
            kernels[name] = [k.tobytes() for k in bank.effective(name)]
            private[name] = [p.tobytes() for p in bank.private(name)]
            for earlier in bank.tasks:
                self.assertEqual(
                    [k.tobytes() for k in bank.effective(earlier)],
                    kernels[earlier],
                )
                self.assertEqual(
                    [p.tobytes() for p in bank.private(earlier)],
                    private[earlier],
                )

    def test_effective_is_own_and_shared_values(self):
        bank = random_bank(5, num_planes=1)
        for name in bank.tasks:
            view = bank.plane_view((0, 0), before=name)
            for index, (own, shared) in enumerate(bank.masks(name)):
                kernel = bank.effective(name)[index]
                component = bank[name].components[index]
                self.assertFalse((own & view.owned[index]).any())
                self.assertFalse((shared & ~view.owned[index]).any())
                np.testing.assert_array_equal(
                    kernel[own], component.own_values()
                )
                np.testing.assert_array_equal(
                    kernel[shared], view.frozen[index][shared]
                )
                np.testing.assert_array_equal(kernel[~(own | shared)], 0)
        self.assertTrue(bank.masks("task 4")[1][1].any())

    def test_plane_view_holds_the_plane_alone(self):
        bank = random_bank(4, num_planes=2)
        for plane in (0, 1):
            view = bank.plane_view((plane, plane))
            for index in range(len(SHAPES)):
                own = [
                    bank.masks(name)[index][0]
                    for name in bank.tasks
                    if bank[name].plane == plane
                ]
                np.testing.assert_array_equal(
                    view.owned[index], np.logical_or.reduce(own)
                )
                np.testing.assert_array_equal(
                    view.frozen[index][~view.owned[index]], 0
                )
        free = bank.plane_view((7, 7))
        self.assertFalse(any(owned.any() for owned in free.owned))

    def test_facts_that_cannot_be_saved(self):
        bank = random_bank(2)
        before = bank.to_bytes()
        record = random_record(bank, "odd", seed=1)
        odd = dataclasses.replace(record, facts={"fact": object()})
        with self.assertRaises(TypeError):
            bank.add(odd)
        self.assertEqual(bank.to_bytes(), before)
        bank.add(record)
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        self.assertEqual(again.to_bytes(), bank.to_bytes())
        self.assertEqual(again.tasks[-1], "odd")

    def test_planes_of_each_kernel(self):
        bank = random_bank(1, num_planes=1)
        bank.add(random_record(bank, "mixed", (0, 1), seed=1))
        bank.add(random_record(bank, "last", (1, 1), seed=2))
        self.assertEqual(bank["mixed"].planes, (0, 1))
        self.assertEqual(bank.num_planes, 2)
        first, mixed, last = map(bank.masks, bank.tasks)
        self.assertTrue(mixed[0][1].any())
        self.assertFalse(mixed[1][1].any())
        self.assertFalse((mixed[0][1] & ~first[0][0]).any())
        self.assertFalse(last[0][1].any())
        self.assertTrue(last[1][1].any())
        self.assertFalse((last[1][1] & ~mixed[1][0]).any())

    def test_references_bring_everything_back(self):
        bank = random_bank(2, num_planes=2)
        for number in range(2, 6):
            planes = (number % 2, number)
            reference = number - 1
            record = random_record(
                bank, f"task {number}", planes, 3, 0.3, number, reference
            )
            before = bank.used_slots(f"task {reference}")
            bank.add(record)
            own, shared = bank.masks(record.name)[1]
            self.assertFalse((own & ~before[1]).any())
            self.assertFalse(shared.any())
            own, shared = bank.masks(record.name)[0]
            owned = bank.plane_view(planes, before=record.name).owned[0]
            np.testing.assert_array_equal(shared, before[0] & owned)
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        self.assertEqual(again.to_bytes(), bank.to_bytes())
        for name in bank.tasks:
            for one, other in zip(bank.effective(name), again.effective(name)):
                self.assertEqual(one.tobytes(), other.tobytes())
            for one, other in zip(bank.private(name), again.private(name)):
                self.assertEqual(one.tobytes(), other.tobytes())

    @parameterized.parameters(0, 1)
    def test_any_order_of_use(self, seed):
        # More planes and references than the bank keeps decoded.
        rng = np.random.default_rng(seed)
        bank = WeightBank(SHAPES, PATHS)
        kernels, used = {}, {}
        for number in range(24):
            name = f"task {number}"
            planes = tuple(map(int, rng.integers(0, 6, 2)))
            reference = None
            if number and rng.random() < 0.8:
                reference = max(0, number - int(rng.integers(1, 4)))
            record = random_record(
                bank, name, planes, 1, 0.2, number, reference
            )
            bank.add(record)
            kernels[name] = [k.tobytes() for k in bank.effective(name)]
            used[name] = [m.tobytes() for m in bank.used_slots(name)]
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        for one in (bank, again):
            for name in rng.permutation(list(kernels)):
                self.assertEqual(
                    [k.tobytes() for k in one.effective(name)], kernels[name]
                )
                self.assertEqual(
                    [m.tobytes() for m in one.used_slots(name)], used[name]
                )
        for kernel in range(len(SHAPES)):
            np.testing.assert_array_equal(
                again.used_bits(kernel), bank.used_bits(kernel)
            )

    def test_loading_decodes_nothing(self):
        bank = random_bank(3)
        again = WeightBank(SHAPES, PATHS)
        with mock.patch.object(Component, "own_slots") as decode:
            again.load_bytes(bank.to_bytes())
            self.assertEqual(again.to_bytes(), bank.to_bytes())
            decode.assert_not_called()

    def test_a_switch_decodes_only_what_it_shares(self):
        bank = random_bank(6, num_planes=6)
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        own_slots = Component.own_slots
        with mock.patch.object(
            Component, "own_slots", autospec=True, side_effect=own_slots
        ) as decode:
            again.effective("task 5")
            self.assertEqual(decode.call_count, len(SHAPES))

    @parameterized.parameters(2, 5, -1)
    def test_reference_to_no_earlier_task(self, reference):
        bank = random_bank(2)
        record = random_record(bank, "a", 2, reference=1)
        before = bank.to_bytes()
        with self.assertRaisesRegex(ValueError, rf"below 2.*{reference}"):
            bank.add(dataclasses.replace(record, reference=reference))
        with self.assertRaisesRegex(ValueError, "Give its `reference`"):
            bank.add(dataclasses.replace(record, reference=None))
        self.assertEqual(bank.to_bytes(), before)

    def test_used_bits_are_the_sum_of_widths(self):
        bank = random_bank(5, num_planes=2)
        for index, shape in enumerate(SHAPES):
            expected = np.zeros(shape, int)
            for name in bank.tasks:
                own, _ = bank.masks(name)[index]
                expected += own * bank[name].components[index].width
            np.testing.assert_array_equal(bank.used_bits(index), expected)

    def test_budget_is_used_up_and_never_passed(self):
        bank = WeightBank(SHAPES, PATHS)
        for plane in range(4):
            bank.add(random_record(bank, f"task {plane}", plane, 8, 1.0))
        for index in range(len(SHAPES)):
            np.testing.assert_array_equal(bank.used_bits(index), 32)
        before = bank.to_bytes()
        with self.assertRaisesRegex(
            BudgetError, "'dense/kernel': a slot would hold 33 bits.*32"
        ):
            bank.add(random_record(bank, "one more", 4, 1, 0.5))
        self.assertEqual(bank.to_bytes(), before)
        self.assertEqual(bank.num_planes, 4)
        np.testing.assert_array_equal(bank.used_bits(0), 32)
        # What is shared takes no bits.
        bank.add(random_record(bank, "sharing", 0, 8, 1.0))
        np.testing.assert_array_equal(bank.used_bits(0), 32)

    def test_budget_error_in_a_later_kernel_leaves_all_as_it_was(self):
        bank = WeightBank(SHAPES, PATHS)
        bank.add(float_record(bank, "a", 0, own=True))
        record = float_record(bank, "b", 1, own=True)
        none = float_record(bank, "b", 1, own=False)
        mixed = (none.components[0], record.components[1])
        before = bank.to_bytes()
        with self.assertRaisesRegex(BudgetError, "'conv/kernel'.*64 bits"):
            bank.add(dataclasses.replace(record, components=mixed))
        self.assertEqual(bank.to_bytes(), before)
        np.testing.assert_array_equal(bank.used_bits(0), 32)
        bank.add(none)
        np.testing.assert_array_equal(bank.used_bits(1), 32)

    @parameterized.parameters(False, True)
    def test_an_interrupt_adds_all_or_nothing(self, shares):
        """At any line of the bank, and the next task finds no trace of it."""
        before = random_bank(3, num_planes=1 if shares else 3)
        saved, tasks = before.to_bytes(), before.tasks
        record = random_record(before, "new", 0)
        other = random_record(before, "other", 0, seed=9)

        def make():
            bank = WeightBank(SHAPES, PATHS)
            bank.load_bytes(saved)
            return bank

        def everything(bank):
            bits = [bank.used_bits(index).tobytes() for index in (0, 1)]
            return [contents(bank, task) for task in bank.tasks], bits

        expected = {tasks: everything(before)}
        for added in (record, other):
            bank = make()
            bank.add(added)
            expected[bank.tasks] = everything(bank)
        lines = faults.lines_of(lambda: make().add(record), "bank")
        self.assertGreater(lines, 200)
        ends = set()
        # The last lines, where the task is taken in, one by one.
        early = range(0, lines - 60, max(1, lines // 60))
        for line in (*early, *range(lines - 60, lines)):
            bank = make()
            # Some of it is decoded already.
            bank.effective(tasks[line % 3])
            faults.interrupted(lambda: bank.add(record), line, "bank")
            self.assertEqual(everything(bank), expected[bank.tasks])
            ends.add(bank.tasks)
            if "new" not in bank:
                bank.add(other)
                self.assertEqual(everything(bank), expected[bank.tasks])
        self.assertLen(ends, 2)

    def test_task_with_another_number_of_kernels(self):
        bank = random_bank(2)
        record = random_record(bank, "a", 1)
        before = bank.to_bytes()
        with self.assertRaises(ValueError):
            bank.add(
                dataclasses.replace(record, components=record.components[:1])
            )
        self.assertEqual(bank.to_bytes(), before)

    def test_task_whose_shared_mask_is_damaged(self):
        bank = random_bank(2, num_planes=1)
        record = random_record(bank, "a", 0)
        last = dataclasses.replace(record.components[1], shared_mask=b"\x01")
        components = (record.components[0], last)
        before = bank.to_bytes(), bank.used_bits(0).tolist()
        with self.assertRaisesRegex(ValueError, "damaged"):
            bank.add(dataclasses.replace(record, components=components))
        self.assertEqual(before, (bank.to_bytes(), bank.used_bits(0).tolist()))
        # The bank goes on as if nothing had been tried.
        bank.add(record)
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        for one, other in zip(bank.effective("a"), again.effective("a")):
            np.testing.assert_array_equal(one, other)

    def test_task_of_the_same_name(self):
        bank = random_bank(1)
        with self.assertRaisesRegex(ValueError, "'task 0' is in the bank"):
            bank.add(random_record(bank, "task 0", 1))

    @parameterized.parameters(0, 1, 5)
    def test_saved_bank_brings_all_back(self, num_tasks):
        bank = random_bank(num_tasks)
        again = WeightBank(SHAPES, PATHS)
        again.load_bytes(bank.to_bytes())
        self.assertEqual(again.tasks, bank.tasks)
        self.assertEqual(again.to_bytes(), bank.to_bytes())
        for name in bank.tasks:
            for one, other in zip(bank.effective(name), again.effective(name)):
                self.assertEqual(one.tobytes(), other.tobytes())
            for one, other in zip(bank.private(name), again.private(name)):
                self.assertEqual(one.tobytes(), other.tobytes())
                self.assertEqual(one.dtype, other.dtype)
        for index in range(len(SHAPES)):
            np.testing.assert_array_equal(
                bank.used_bits(index), again.used_bits(index)
            )
        # And goes on where the first would.
        record = random_record(bank, "next", 0, seed=9)
        bank.add(record)
        again.add(random_record(again, "next", 0, seed=9))
        self.assertEqual(again.to_bytes(), bank.to_bytes())

    def test_loading_replaces(self):
        bank = random_bank(3)
        bank.load_bytes(random_bank(1).to_bytes())
        self.assertEqual(bank.tasks, ("task 0",))

    def test_failed_loading_leaves_the_bank_as_it_was(self):
        bank = random_bank(3)
        before = bank.to_bytes()
        with self.assertRaisesRegex(ValueError, "damaged"):
            bank.load_bytes(before[:-1])
        self.assertEqual(bank.to_bytes(), before)

    @parameterized.parameters(
        [[SHAPES[0]]], [[SHAPES[0], (3, 3, 2, 5)]], [[(6, 5), (3, 3, 8, 1)]]
    )
    def test_another_architecture(self, shapes):
        other = WeightBank(shapes, PATHS[: len(shapes)])
        with self.assertRaisesRegex(ValueError, "kernels of shapes.*this"):
            other.load_bytes(random_bank(2).to_bytes())
        self.assertEqual(other.tasks, ())

    def test_full_masks_of_another_size(self):
        bank = WeightBank(SHAPES, PATHS)
        bank.add(float_record(bank, "a", 0, own=True))
        other = WeightBank([SHAPES[0], (3, 3, 2, 5)], PATHS)
        with self.assertRaisesRegex(
            ValueError, "has 72 own slots.*holds 90.*another architecture"
        ):
            other.add(bank["a"])
        self.assertEqual(other.tasks, ())
