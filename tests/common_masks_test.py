"""Tests of kernels whose mask all tasks have in common."""

import pathlib
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import (
    begin,
    consolidate,
    learn,
    logits,
    make_model,
    mlp,
)
from tsn_keras.pruning import FisherPruning, MagnitudePruning, ScorePruning
from tsn_keras.quantization import AdaptiveCodebook

SPARSITY = {"first": 0.8, "second": 0.5}


def model_of(strategy=MagnitudePruning, width=4, **arguments):
    hidden = keras.layers.Dense(24, activation="relu", name="second")
    backbone = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(32, activation="relu", name="first"),
            hidden,
        ]
    )
    pruning = strategy(SPARSITY, frequency=5, common_masks="second")
    quantization = AdaptiveCodebook(
        min_width=width, max_width=width, fine_tune_steps=5
    )
    return make_model(backbone, pruning, quantization, **arguments)


class CommonMasksTest(parameterized.TestCase):
    def folder(self):
        folder = tempfile.TemporaryDirectory()
        return pathlib.Path(self.enter_context(folder))

    @parameterized.product(
        strategy=(MagnitudePruning, FisherPruning, ScorePruning),
        sharing=("never", "activation_similarity", "warm_start"),
    )
    def test_later_tasks_take_the_mask_over(self, strategy, sharing):
        model = model_of(strategy, sharing=sharing)
        for number in range(3):
            learn(model, number)
        self.assertEqual([model.bank[t].plane for t in model.tasks], [0, 1, 2])
        first, *later = (model.bank.own_slots(t, 1) for t in model.tasks)
        self.assertEqual(first.sum(), 24 * 32 // 2)
        for mask in later:
            np.testing.assert_array_equal(mask, first)
        masks = [model.bank.own_slots(t, 0) for t in model.tasks]
        self.assertFalse((masks[0] == masks[1]).all())
        for task in model.tasks[1:]:
            self.assertLen(model.bank[task].components[1].own_mask, 3)
            self.assertEqual(model.bank[task].reference, 0)
            self.assertFalse(
                np.array_equal(
                    model.bank.effective(task)[1],
                    model.bank.effective(model.tasks[0])[1],
                )
            )

    def test_full_slots_end_it(self):
        # Four tasks of eight bits fill a slot.
        model = model_of(width=8)
        for number in range(6):
            learn(model, number)
        masks = [model.bank.own_slots(task, 1) for task in model.tasks]
        for number in range(4):
            np.testing.assert_array_equal(masks[number], masks[0])
        self.assertFalse((masks[4] & masks[0]).any())
        np.testing.assert_array_equal(masks[5], masks[4])
        references = [model.bank[task].reference for task in model.tasks]
        self.assertEqual(references, [None, 0, 0, 0, None, 4])
        self.assertLessEqual(model.bank.used_bits(1).max(), 32)

    def test_a_task_that_shares_goes_its_own_way(self):
        model = model_of(sharing="always")
        learn(model, 0)
        learn(model, 1)
        first, second = (model.bank.masks(task)[1] for task in model.tasks)
        np.testing.assert_array_equal(second[1], first[0])
        self.assertFalse((second[0] & first[0]).any())

    def test_saved_in_the_middle_of_a_task(self):
        model = model_of()
        learn(model, 0)
        begin(model, 1)
        path = self.folder() / "model.keras"
        model.save(path)
        again = keras.saving.load_model(path)
        for each in (model, again):
            consolidate(each, 1)
        self.assertEqual(again.bank["task 1"].reference, 0)
        self.assertEqual(again.bank.masks("task 1")[1][0].sum(), 384)

    def test_loaded_between_tasks(self):
        model = model_of()
        learn(model, 0)
        before = logits(model, 0)
        path = self.folder() / "model.keras"
        model.save(path)
        again = keras.saving.load_model(path)
        for each in (model, again):
            learn(each, 1)
            np.testing.assert_array_equal(logits(each, 0), before)
        self.assertEqual(model.bank.to_bytes(), again.bank.to_bytes())

    def test_no_kernel_matches(self):
        pruning = MagnitudePruning(0.5, common_masks="third")
        model = make_model(mlp(), pruning)
        with self.assertRaisesRegex(ValueError, "common_masks='third'.*kernel"):
            begin(model)
        self.assertFalse(model._running.begun)

    def test_no_pattern(self):
        with self.assertRaisesRegex(TypeError, "common_masks=3"):
            MagnitudePruning(0.5, common_masks=3)

    def test_bundle(self):
        model = model_of()
        for number in range(3):
            learn(model, number)
        path = self.folder() / "model.tflite"
        report = tsn_keras.lite.export_bundle(model, path)
        for task in model.tasks:
            self.assertTrue(report.agreements[task].predictions_equal)
