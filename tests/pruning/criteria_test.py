import keras
import numpy as np
from absl.testing import parameterized

from tests.pruning.task_masks_test import task_mask
from tsn_keras.pruning import (
    FisherPruning,
    MagnitudePruning,
    ScorePruning,
    second_moment,
)


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
        mask.second_moment = lambda: moment
        np.testing.assert_allclose(
            FisherPruning(power=power).importance(mask),
            np.abs(mask.values()) * moment**power,
            rtol=1e-5,
        )

    def test_magnitudes_before_the_first_step(self):
        mask = task_mask()
        mask.second_moment = lambda: np.zeros((8, 10), np.float32)
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
