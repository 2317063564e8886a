"""Tests of tasks that share the first kernels only."""

import keras
import numpy as np
from absl.testing import absltest, parameterized

from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    begin,
    consolidate,
    digits,
    everything,
    fit,
    learn,
    make_model,
    most_bits,
    reloaded,
    without_fine_tuning,
)
from tsn_keras.sharing import (
    ActivationSimilarity,
    Always,
    PlaneChoice,
    Sharing,
)
from tsn_keras.tasks import trial
from tsn_keras.tasks.running_task import RunningTask


def backbone():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((64,)),
        layers.Dense(32, name="first"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dense(24, activation="relu", name="second"),
        layers.Dense(16, activation="relu", name="third"),
        layers.Dense(12, activation="relu", name="fourth"),
    ])


def make(**arguments):
    usual = {
        "sharing": Always(depth=0.5),
        "quantization": without_fine_tuning(),
    }
    return make_model(backbone(), **{**usual, **arguments})


class SharingDepthTest(parameterized.TestCase):
    @parameterized.parameters((0.5, (0, 0, 1, 1)), (1.0, (0, 0, 0, 0)))
    def test_planes(self, depth, planes):
        model = make(sharing=Always(depth=depth))
        learn(model, 0)
        before = everything(model)[1]
        report = learn(model, 1)
        self.assertEqual(model.bank["task 1"].planes, planes)
        self.assertEqual(report.plane, max(planes))
        whole = model.report("task 0").own
        for path, plane in zip(model.bank.paths, planes):
            usual = whole[path]
            self.assertEqual(report.shared[path], 0 if plane else usual)
            own = usual if plane else round(usual / 4)
            self.assertAlmostEqual(report.own[path], own, delta=1)
        self.assertEqual(everything(model)[1][:1], before)
        joined = planes.count(0)
        first = f"the first {joined} of 4 kernels " if joined < 4 else ""
        self.assertStartsWith(report.sharing, f"shares {first}with 'task 0'")

    def test_many_tasks_keep_their_bits(self):
        model = make(quantization="default")
        expected = []
        for number in range(3):
            learn(model, number)
            found = everything(model)[1]
            self.assertEqual(found[:number], expected)
            expected = found
        # Each joins the first kernels of the one before.
        planes = {model.bank[name].planes for name in model.tasks}
        self.assertEqual(planes, {(0, 0, n, n) for n in range(3)})
        self.assertLessEqual(most_bits(model), 32)
        loaded = reloaded(model)
        self.assertEqual(everything(loaded), everything(model))
        # All kernels of a task whose own lie on two planes.
        model.sharing = Always()
        learn(model, 3)
        self.assertEqual(model.bank["task 3"].planes, (0, 0, 2, 2))

    def test_starts_with_the_first_kernels_of_the_other(self):
        model = make()
        learn(model, 0)
        model.add_task("again", head=keras.layers.Dense(10))
        x, y = digits(0, TRAIN)
        model.fit(x, y, sample_weight=np.zeros(len(y)), verbose=0)
        stored = model.bank.effective("task 0")
        for index, mask in enumerate(model.running_task.masks):
            same = np.array_equal(mask.effective(), stored[index])
            self.assertEqual((same, mask.shared.any()), (index < 2,) * 2)
        # Bias, scale and offset before the third kernel; no later bias.
        private = zip(model.switch.private, model.bank.private("task 0"))
        same = [
            np.array_equal(variable, value)
            for variable, value in private
            if variable.trainable
        ]
        self.assertEqual(same[:4], [True] * 4)
        self.assertFalse(any(same[4:]))

    def test_resumes_in_the_middle(self):
        model = make()
        learn(model, 0)
        begin(model, 1, epochs=1)
        loaded = reloaded(model)
        self.assertEqual(loaded.running_task.planes, (0, 0, 1, 1))
        for each in (model, loaded):
            fit(each, 1, epochs=1)
            consolidate(each, 1)
        self.assertEqual(everything(loaded), everything(model))

    def test_a_strategy_that_names_no_task(self):
        class SamePlane(Sharing):
            def choose(self, planes, divergences):
                return PlaneChoice(0 if planes else None, depth=0.5)

        model = make(sharing=SamePlane())
        for number in range(3):
            report = learn(model, number)
        self.assertEqual(model.bank["task 2"].planes, (0, 0, 2, 2))
        # All that is owned there, by whomever.
        owned = [
            model.report("task 0").own[path] + model.report("task 1").own[path]
            for path in model.bank.paths[:2]
        ]
        self.assertEqual(list(report.shared.values())[:2], owned)
        self.assertStartsWith(report.sharing, "shares with all earlier tasks")

    def test_running_tasks_as_json(self):
        choice = PlaneChoice(0, "a", own_fraction=0.25)
        task = RunningTask(
            "b", 0, planes=(0, 0), inherits="a", choice=choice, widths=[4, 4]
        )
        self.assertEqual(RunningTask.from_json(task.to_json()), task)
        self.assertEqual(task.own_fraction(1), 0.25)

    def test_other_labels_of_the_same_images(self):
        """What all kernels do is of no use to them; what the first do is."""
        keras.utils.set_random_seed(0)
        model = make(sharing=ActivationSimilarity())
        learn(model, 0, epochs=20)
        others = np.random.default_rng(3).permutation(10)
        choices, accuracies = [], []
        for depth in (1.0, 0.5):
            model.sharing = ActivationSimilarity(
                threshold=0.0,
                doubt=float("inf"),
                trial_steps=40,
                trial_depth=depth,
            )
            model.add_task("relabelled", head=keras.layers.Dense(10))
            x, y = digits(0, TRAIN)
            model.fit(x, others[y], epochs=2, verbose=0)
            choices.append(model.running_task.choice)
            x, y = digits(0, VALIDATION)
            accuracies.append(model.evaluate(x, others[y], verbose=0)[1])
            if depth == 1.0:
                model.discard_task()
        self.assertIsNone(choices[0].plane)
        self.assertEqual((choices[1].plane, choices[1].depth), (0, 0.5))
        shared, own = choices[1].losses
        self.assertLess(shared, trial.LEAD * own)
        self.assertGreater(accuracies[1], accuracies[0] + 0.05)
        report = model.consolidate((x, others[y]), verbose=0)
        self.assertRegex(report.sharing, "the first 2 of 4.*held-out")
        self.assertAlmostEqual(report.effects["sharing"], own - shared)


if __name__ == "__main__":
    absltest.main()
