import json

import keras
import numpy as np
from absl.testing import parameterized

from tests.pruning.task_masks_test import task_mask
from tsn_keras import tfmot
from tsn_keras.pruning import (
    FisherPruning,
    MagnitudePruning,
    ScorePruning,
    allocation,
    kept_slots,
)

STRATEGIES = (FisherPruning, MagnitudePruning, ScorePruning)


def constant(sparsity, begin_step):
    config = {"target_sparsity": sparsity, "begin_step": begin_step}
    return tfmot.schedule_from_config(
        {"class_name": "ConstantSparsity", "config": config}
    )


def linear(initial, final, begin_step, end_step):
    config = {
        "initial_sparsity": initial,
        "final_sparsity": final,
        "begin_step": begin_step,
        "end_step": end_step,
        "power": 1,
    }
    return tfmot.schedule_from_config(
        {"class_name": "PolynomialDecay", "config": config}
    )


class ArgumentsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"sparsity": -0.1}, "sparsity=-0.1"),
        ({"sparsity": float("nan")}, "sparsity=nan"),
        ({"sparsity": {"dense": 0.5, ".*": 2.0}}, r"sparsity\['\.\*'\]=2.0"),
        ({"begin": 0.6, "end": 0.5}, "begin=0.6, end=0.5"),
        ({"begin": 0.5, "end": 0.5}, "begin=0.5, end=0.5"),
        ({"begin": -0.1}, "begin=-0.1"),
        ({"end": 1.5}, "end=1.5"),
        ({"frequency": 0}, "`frequency`.*frequency=0"),
        ({"tolerance": -0.1}, "`tolerance`.*tolerance=-0.1"),
        ({"tolerance": 1.0}, "`tolerance`.*tolerance=1.0"),
        ({"budget": 0}, "`budget`.*budget=0"),
        ({"sparsity": 0.5, "budget": 9}, "sparsity=0.5.*budget=9"),
        (
            {
                "sparsity": 0.5,
                "schedule": constant(0.5, 0),
            },
            "one of `sparsity`, `schedule` and `budget`.*sparsity=0.5",
        ),
    )
    def test_bad_values(self, arguments, message):
        for strategy in STRATEGIES:
            with self.assertRaisesRegex(ValueError, message):
                strategy(**arguments)

    @parameterized.parameters(0.5, "cubic")
    def test_schedule_of_another_kind(self, schedule):
        with self.assertRaisesRegex(
            TypeError, f"`schedule`.*PruningSchedule.*Received: {schedule!r}"
        ):
            MagnitudePruning(schedule=schedule)

    def test_default_sparsity(self):
        self.assertEqual(MagnitudePruning().target("kernel"), 0.95)

    @parameterized.product(
        strategy=STRATEGIES,
        arguments=(
            {},
            {"sparsity": 0.8, "begin": 0.1, "end": 1.0, "frequency": 7},
            {"sparsity": {"dense_1": 0.5, ".*": 0.9}, "tolerance": 0.01},
            {"schedule": constant(0.5, 3)},
            {"schedule": linear(0.2, 0.7, 3, 20)},
            {"budget": 4000},
        ),
    )
    def test_config_round_trip(self, strategy, arguments):
        pruning = strategy(**arguments)
        text = json.dumps(keras.saving.serialize_keras_object(pruning))
        again = keras.saving.deserialize_keras_object(json.loads(text))
        self.assertIs(type(again), strategy)
        self.assertEqual(again.get_config(), pruning.get_config())
        self.assertIs(type(again.schedule), type(pruning.schedule))
        for step in (0, 4, 11, 40):
            self.assertEqual(
                again.sparsity_at(0.8, step, 40),
                pruning.sparsity_at(0.8, step, 40),
            )


class SparsityTest(parameterized.TestCase):
    @parameterized.parameters(1, 2, 3, 10, 97)
    def test_rises_to_the_target(self, total_steps):
        pruning = MagnitudePruning(0.8, begin=0.2, end=0.7)
        course = [
            pruning.sparsity_at(0.8, step, total_steps)
            for step in range(total_steps + 20)
        ]
        self.assertEqual(course, sorted(course))
        self.assertEqual(course[0], 0.0)
        self.assertTrue((np.diff(course) >= 0).all())
        np.testing.assert_allclose(course[total_steps:], 0.8, rtol=1e-6)

    def test_begin_and_end(self):
        pruning = MagnitudePruning(0.8, begin=0.2, end=0.7)
        at = [pruning.sparsity_at(0.8, s, 100) for s in (20, 21, 69, 70)]
        self.assertEqual(at[0], 0.0)
        self.assertGreater(at[1], 0.0)
        self.assertLess(at[2], 0.8)
        self.assertAlmostEqual(at[3], 0.8, places=6)

    def test_by_kernel(self):
        pruning = MagnitudePruning({"dense_1/": 0.5, "^conv": 0.7, ".*": 0.9})
        self.assertEqual(pruning.target("mlp/dense_1/kernel"), 0.5)
        self.assertEqual(pruning.target("conv/kernel"), 0.7)
        self.assertEqual(pruning.target("mlp/conv/kernel"), 0.9)

    def test_no_pattern_matches(self):
        pruning = MagnitudePruning({"conv": 0.5})
        with self.assertRaisesRegex(
            ValueError, "'dense/kernel'.*'conv': 0.5.*Add an entry '.*'"
        ):
            pruning.target("dense/kernel")

    def test_schedules_are_followed(self):
        fixed = MagnitudePruning(schedule=constant(0.5, begin_step=10))
        course = [fixed.sparsity_at(0.0, s, 99) for s in (0, 9, 10, 500)]
        self.assertEqual(course, [0.0, 0.0, 0.5, 0.5])
        decay = MagnitudePruning(schedule=linear(0.25, 0.75, 10, 20))
        course = [decay.sparsity_at(0.0, s, 99) for s in (9, 10, 15, 20, 99)]
        np.testing.assert_allclose(course, [0, 0.25, 0.5, 0.75, 0.75])
        self.assertEqual(decay.target("k"), 0.75)

    def test_finish(self):
        mask = task_mask()
        free = int(mask.available.sum())
        MagnitudePruning(0.8).finish([mask], 3, 99)
        self.assertEqual(mask.own.sum(), kept_slots(80, 0.8))
        decay = MagnitudePruning(schedule=linear(0.0, 0.8, 0, 20))
        decay.finish([mask], 10, None)
        self.assertEqual(mask.own.sum(), min(kept_slots(80, 0.4), free))

    def test_inheriting_tasks_own_fewer(self):
        mask = task_mask(own_fraction=0.25)
        MagnitudePruning(0.5).finish([mask], 9, 9)
        self.assertEqual(mask.own.sum(), 10)
        np.testing.assert_array_equal(mask.shared, mask.owned)


class BudgetTest(parameterized.TestCase):
    def test_divides_among_kernels(self):
        masks = [task_mask(seed=seed, width=2) for seed in range(3)]
        masks[1].kernel.kernel.assign(5 * np.asarray(masks[1].kernel.kernel))
        MagnitudePruning(budget=40).finish(masks, 9, 9)
        counts = [int(mask.own.sum()) for mask in masks]
        cost = sum(allocation.code_bytes(count, 80, 2) for count in counts)
        self.assertLessEqual(cost, 40)
        self.assertGreater(cost, 36)
        self.assertGreater(counts[1], max(counts[0], counts[2]))
        self.assertGreaterEqual(min(counts), 1)

    def test_too_small(self):
        pruning = MagnitudePruning(budget=20)
        with self.assertRaisesRegex(
            ValueError, "too small.*988 bytes.*2 bits.*budget=20"
        ):
            pruning.check_budget([78400], 2)
        pruning.check_budget([800], 2)
