import json

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.pruning.masks_test import task_mask
from tsn_keras import tfmot
from tsn_keras.pruning import (
    FisherPruning,
    MagnitudePruning,
    ScorePruning,
    budget,
    kept_slots,
    second_moment,
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
        cost = sum(budget.code_bytes(count, 80, 2) for count in counts)
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


def update(pruning, mask, sparsity):
    mask.prune(pruning.importance(mask), sparsity)
    mask.apply()


class MagnitudePruningTest(parameterized.TestCase):
    def test_largest_magnitudes(self):
        mask = task_mask()
        update(MagnitudePruning(), mask, 0.8)
        magnitude = np.abs(mask.values())
        left = mask.available & ~mask.own
        self.assertEqual(mask.own.sum(), 16)
        self.assertGreaterEqual(
            magnitude[mask.own].min(), magnitude[left].max()
        )
        np.testing.assert_array_equal(mask.kernel.effective(), mask.effective())

    def test_pruned_slots_come_back(self):
        mask = task_mask()
        pruning = MagnitudePruning(0.8)
        update(pruning, mask, 0.8)
        left = mask.available & ~mask.own
        mask.kernel.kernel.assign(np.where(left, 9.0, mask.kernel.kernel))
        update(pruning, mask, 0.8)
        self.assertTrue(left[mask.own].any())
        self.assertEqual(np.asarray(mask.kernel.effective())[left].max(), 9.0)

    def test_diverged_weights(self):
        mask = task_mask()
        mask.kernel.kernel.assign(np.full((8, 10), np.nan))
        with self.assertRaisesRegex(ValueError, "NaN.*diverged"):
            update(MagnitudePruning(), mask, 0.5)


class ScorePruningTest(parameterized.TestCase):
    def test_highest_scores_though_negative(self):
        mask = task_mask(learned_scores=True)
        scores = np.random.default_rng(5).normal(size=(8, 10)) - 1
        mask.kernel.scores.assign(scores)
        update(ScorePruning(), mask, 0.8)
        left = mask.available & ~mask.own
        self.assertEqual(mask.own.sum(), 16)
        self.assertGreaterEqual(scores[mask.own].min(), scores[left].max())
        np.testing.assert_array_equal(mask.kernel.effective(), mask.effective())


class FisherPruningTest(parameterized.TestCase):
    @parameterized.parameters(0.0, 0.25, 0.5)
    def test_formula(self, power):
        mask = task_mask()
        moment = np.random.default_rng(1).random((8, 10)).astype(np.float32)
        mask.use_second_moment(lambda: moment)
        np.testing.assert_allclose(
            FisherPruning(power=power).importance(mask),
            np.abs(mask.values()) * moment**power,
            rtol=1e-5,
        )

    def test_magnitudes_before_the_first_step(self):
        mask = task_mask()
        mask.use_second_moment(lambda: np.zeros((8, 10), np.float32))
        np.testing.assert_array_equal(
            FisherPruning().importance(mask), np.abs(mask.values())
        )

    @parameterized.parameters(-0.1, 1.1, float("nan"))
    def test_bad_power(self, power):
        with self.assertRaisesRegex(ValueError, f"power={power}"):
            FisherPruning(power=power)


class SecondMomentTest(parameterized.TestCase):
    @parameterized.parameters("adam", "adamw", "nadam", "rmsprop")
    def test_grows_with_the_gradient(self, name):
        optimizer = keras.optimizers.get(name)
        other, variable = (keras.Variable(np.ones(3, "float32")) for _ in "ab")
        np.testing.assert_array_equal(second_moment(optimizer, variable), 0)
        gradient = np.array([0.0, 1.0, 2.0], np.float32)
        optimizer.build([other, variable])
        optimizer.apply([gradient * 0, gradient])
        moment = second_moment(optimizer, variable)
        np.testing.assert_allclose(moment / moment[1], [0, 1, 4], rtol=1e-5)
        np.testing.assert_array_equal(second_moment(optimizer, other), 0)

    def test_behind_loss_scaling(self):
        inner = keras.optimizers.Adam()
        optimizer = keras.optimizers.LossScaleOptimizer(inner)
        variable = keras.Variable(np.ones(2, "float32"))
        optimizer.build([variable])
        np.testing.assert_array_equal(second_moment(optimizer, variable), 0)

    @parameterized.parameters("sgd", "lion", "adagrad")
    def test_optimizers_without(self, name):
        optimizer = keras.optimizers.get(name)
        variable = keras.Variable(np.ones(2, "float32"))
        optimizer.build([variable])
        with self.assertRaisesRegex(ValueError, "Adam.*keeps none"):
            second_moment(optimizer, variable)


STEPS = 12


def make_model(**arguments):
    backbone = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(6, activation="relu")]
    )
    pruning = ScorePruning(0.5, score_frequency=4)
    model = tsn_keras.ContinualModel(backbone, pruning=pruning, sharing=None)
    model.compile("adam", "mse", **arguments)
    model.add_task("a", keras.layers.Dense(2))
    return model


class Watch(keras.callbacks.Callback):
    """Keeps the scores and weights of the kernel after each batch."""

    def __init__(self):
        super().__init__()
        self.scores, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        (kernel,) = self.model.switch.kernels
        self.scores.append(np.array(kernel.scores))
        self.weights.append(np.array(kernel.kernel))


def changes(arrays):
    pairs = zip(arrays, arrays[1:])
    return [number for number, (a, b) in enumerate(pairs, 1) if (a != b).any()]


class LearnedScoresTest(parameterized.TestCase):
    def fit(self, model):
        random = np.random.default_rng(0)
        x = random.normal(size=(8 * STEPS, 8)).astype(np.float32)
        y = random.normal(size=(8 * STEPS, 2)).astype(np.float32)
        watch = Watch()
        model.fit(x, y, batch_size=8, callbacks=[watch], verbose=0)
        return watch

    @parameterized.parameters(False, True)
    def test_every_so_many_steps(self, jit_compile):
        watch = self.fit(make_model(jit_compile=jit_compile))
        self.assertEqual(changes(watch.scores), [4, 8])
        self.assertEqual(changes(watch.weights), list(range(1, STEPS)))

    def test_in_groups_of_steps(self):
        model = make_model(steps_per_execution=2)
        watch = self.fit(model)
        # The groups that begin with steps 4 and 8, of steps 0, 2, ..., 10.
        self.assertEqual(changes(watch.scores), [2, 4])

    def test_the_scores_stay_trainable(self):
        model = make_model()
        (kernel,) = model.switch.kernels
        self.fit(model)
        self.assertTrue(kernel.learns_scores)
        before = np.array(kernel.scores)
        model.train_on_batch(np.ones((8, 8), "f"), np.ones((8, 2), "f"))
        self.assertTrue((np.array(kernel.scores) != before).any())

    def test_frozen_scores_stay_frozen(self):
        model = make_model()
        (kernel,) = model.switch.kernels
        self.fit(model)
        kernel.scores.trainable = False
        self.fit(model)
        self.assertFalse(kernel.learns_scores)

    def test_bad_frequency(self):
        with self.assertRaisesRegex(ValueError, "score_frequency=0"):
            ScorePruning(score_frequency=0)
        config = ScorePruning(score_frequency=3).get_config()
        self.assertEqual(ScorePruning.from_config(config).score_frequency, 3)
