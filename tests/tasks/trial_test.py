"""Tests of the trial that decides a doubtful choice of a plane."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import (
    TEST,
    TRAIN,
    VALIDATION,
    begin,
    digits,
    everything,
    learn,
    make_model,
    reloaded,
    without_fine_tuning,
)
from tsn_keras.data import TrainingData
from tsn_keras.sharing import ActivationSimilarity, PlaneChoice
from tsn_keras.tasks import trial


def doubting(**arguments):
    return ActivationSimilarity(
        threshold=0.0, doubt=float("inf"), trial_steps=40, **arguments
    )


def make(sharing):
    return make_model(sharing=sharing, quantization=without_fine_tuning())


def learn_again(model, number, data=None):
    """Learns the task of a number once more, under another name."""
    model.add_task("again", head=keras.layers.Dense(10))
    x, y = digits(number, TRAIN)
    data = data or {"x": x, "y": y}
    model.fit(**data, epochs=2, verbose=0)
    return model.consolidate(digits(number, VALIDATION), verbose=0)


class SharingTrialTest(parameterized.TestCase):
    def test_joins_where_held_out_loss_is_lower(self):
        model = make(sharing=doubting())
        learn(model, 0, epochs=8)
        before = everything(model)
        report = learn_again(model, 0)
        self.assertEqual((report.plane, report.nearest), (0, "task 0"))
        self.assertRegex(report.sharing, "shares with 'task 0'.*held-out")
        self.assertGreater(report.effects["sharing"], 0)
        shared, own = (
            sum(counts.values()) for counts in (report.shared, report.own)
        )
        task_0 = sum(model.report("task 0").own.values())
        self.assertEqual(shared, task_0)
        self.assertLess(own, 0.3 * task_0)
        self.assertEqual(everything(model)[1][0], before[1][0])

    def test_an_unrelated_task_gets_an_own_plane(self):
        model = make(sharing=doubting())
        learn(model, 0, epochs=8)
        begin(model, 1, epochs=8)
        choice = model.running_task.choice
        self.assertEqual(choice.reason, "trial")
        shared, own = choice.losses
        self.assertGreater(shared, trial.LEAD * own)
        self.assertIsNone(choice.plane)
        self.assertEqual(set(model.running_task.planes), {1})

    def test_a_trial_for_an_own_plane_leaves_no_trace(self):
        """The task is trained as it is by a model that never shares."""
        parts = (digits(0, TRAIN), digits(0, TEST))
        images = ((x.reshape(-1, 8, 8), y) for x, y in parts)
        data = tsn_keras.scenarios.ImageData.from_arrays(*images)

        def kernels(sharing):
            keras.utils.set_random_seed(0)
            tasks = tsn_keras.scenarios.PermutedPixels(data, 2, seed=1)
            model = make(sharing=sharing)
            found = []
            for task in tasks:
                model.add_task(task.name, head=keras.layers.Dense(10))
                model.fit(task.train, epochs=8, verbose=0)
                found += [w.numpy().tobytes() for w in model.weights]
                model.consolidate(task.validation, verbose=0)
            return found, model

        expected, _ = kernels("never")
        found, model = kernels(doubting())
        report = model.report("permutation_1")
        self.assertRegex(report.sharing, "own plane.*held-out")
        self.assertLen(found, len(expected))
        same = [one == other for one, other in zip(found, expected)]
        self.assertTrue(all(same))

    def test_other_labels_are_in_doubt(self):
        """Inputs that look alike are not enough."""
        similar = ActivationSimilarity(threshold=1e6, doubt=1e7, trial_steps=40)
        model = make(sharing=similar)
        learn(model, 0, epochs=8)
        x, y = digits(0, TRAIN)
        others = np.random.default_rng(3).permutation(10)
        model.add_task("again", head=keras.layers.Dense(10))
        model.fit(x, y, epochs=2, verbose=0)
        self.assertEqual(model.running_task.choice.reason, "similar")
        swapped = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 8])
        for name, labels in (("other", others[y]), ("swapped", swapped[y])):
            model.discard_task()
            model.add_task(name, head=keras.layers.Dense(10))
            model.fit(x, labels, epochs=2, verbose=0)
            self.assertEqual(model.running_task.choice.reason, "trial")
        model.discard_task()
        model.add_task("fewer classes", head=keras.layers.Dense(5))
        model.fit(x, y % 5, epochs=2, verbose=0)
        self.assertEqual(model.running_task.choice.reason, "trial")

    def test_losses_of_any_size(self):
        """Small losses are compared as they are, and NaN is never less."""
        model = make(sharing=doubting())
        learn(model, 0)
        choice = PlaneChoice(0, "task 0", trial_steps=2)
        data = TrainingData(*digits(1, TRAIN))
        cases = (
            ((1e-6, 3e-6), 0),
            ((2e-6, 3e-6), None),
            ((float("nan"), 1.0), None),
            ((float("nan"), float("nan")), None),
        )
        for losses, plane in cases:
            with mock.patch.object(trial, "held_out_loss", side_effect=losses):
                taken = trial.try_planes(model, choice, data, None)
            self.assertEqual(taken.plane, plane)
            np.testing.assert_allclose(taken.losses, losses, rtol=1e-4)

    def test_interrupted_trial_decides_nothing(self):
        model = make(sharing=doubting())
        learn(model, 0)
        other = reloaded(model)
        for one in (model, other):
            one.add_task("b", head=keras.layers.Dense(10))
        with mock.patch.object(
            keras.Model, "evaluate", side_effect=KeyboardInterrupt
        ):
            with self.assertRaises(KeyboardInterrupt):
                model.fit(*digits(1, TRAIN), verbose=0)
        self.assertFalse(model.running_task.begun)
        for one in (model, other):
            one.fit(*digits(1, TRAIN), verbose=0)
            one.consolidate(digits(1, VALIDATION), verbose=0)
        self.assertEqual(model.bank.to_bytes(), other.bank.to_bytes())

    def test_same_seed_same_choice(self):
        banks = []
        for _ in range(2):
            keras.utils.set_random_seed(0)
            model = make(sharing=doubting())
            learn(model, 0)
            learn_again(model, 0)
            banks.append(model.bank.to_bytes())
        self.assertEqual(*banks)

    def test_data_that_can_be_read_once(self):
        model = make(sharing=doubting())
        learn(model, 0)
        x, y = digits(0, TRAIN)
        batches = ((x[i : i + 40], y[i : i + 40]) for i in range(0, 400, 40))
        report = learn_again(model, 0, {"x": batches})
        self.assertEqual(report.plane, 1)
        self.assertRegex(report.sharing, "own plane: in doubt.*cannot be split")

    def test_dataset_without_end(self):
        model = make(sharing=doubting())
        learn(model, 0)
        data = tf.data.Dataset.from_tensor_slices(digits(0, TRAIN))
        arguments = {"x": data.batch(40).repeat(), "steps_per_epoch": 10}
        report = learn_again(model, 0, arguments)
        self.assertIsNotNone(report.effects["sharing"])

    def test_starts_as_the_task_that_it_joins(self):
        similar = ActivationSimilarity(threshold=float("inf"))
        model = make(sharing=similar)
        learn(model, 0)
        before = model.predict(digits(0, VALIDATION)[0], verbose=0)
        model.add_task("again", head=keras.layers.Dense(10))
        x, y = digits(0, TRAIN)
        weights = np.zeros(len(y))
        model.fit(x, y, sample_weight=weights, verbose=0)
        after = model.predict(digits(0, VALIDATION)[0], verbose=0)
        np.testing.assert_allclose(after, before, atol=1e-4)
