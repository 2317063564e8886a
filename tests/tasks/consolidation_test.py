"""Tests of how a task ends, with and without each mechanism."""

import json
import warnings
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests import faults
from tests.digits_tasks import (
    TEST,
    VALIDATION,
    begin,
    consolidate,
    digits,
    everything,
    fit,
    learn,
    make_model,
    mlp,
)
from tsn_keras.data.training_data import passes_of
from tsn_keras.pruning import FisherPruning, MagnitudePruning, ScorePruning
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.tasks.consolidation import Consolidation
from tsn_keras.tasks.quality import Validation


class OrderOfDataTest(parameterized.TestCase):
    def test_fine_tuning_goes_on_where_training_ended(self):
        """Nothing else reads the data: their order depends on it."""
        x, y = digits(0, slice(0, 200))
        images = x.reshape(-1, 8, 8), y
        data = tsn_keras.scenarios.ImageData.from_arrays(images, images)
        (task,) = tsn_keras.scenarios.PermutedPixels(data, 1)
        # Five steps are less than an epoch, and once is enough.
        quantization = AdaptiveCodebook(
            min_width=4, max_width=4, tolerance=0.5, fine_tune_steps=5
        )
        model = make_model(quantization=quantization)
        model.add_task("a", head=keras.layers.Dense(10))
        model.fit(task.train, epochs=2, verbose=0)
        before = int(passes_of(task.train))
        model.consolidate(task.validation, verbose=0)
        self.assertEqual(int(passes_of(task.train)), before + 1)


class MechanismsTest(parameterized.TestCase):
    def check(self, model, number=0):
        """Compares the report with the bank and with a fresh evaluation."""
        name = f"task {number}"
        report = model.report(name)
        kernels = model.bank.effective(name)
        masks = model.bank.masks(name)
        for path, kernel, (own, shared) in zip(
            model.bank.paths, kernels, masks
        ):
            self.assertEqual(report.own[path], own.sum())
            self.assertEqual(report.shared[path], shared.sum())
            used = own.sum() + shared.sum()
            self.assertAlmostEqual(report.sparsity[path], 1 - used / own.size)
            self.assertFalse(kernel[~(own | shared)].any())
            if report.bits[path] < 32:
                values = np.unique(kernel[own])
                self.assertLessEqual(values.size, 2 ** report.bits[path])
        x, y = digits(number, VALIDATION)
        accuracy = model.evaluate(x, y, task=name, verbose=0)[1]
        self.assertAlmostEqual(report.quality_after, accuracy, places=5)
        json.dumps(report.to_dict())
        return report

    def test_report(self):
        model = make_model(sharing="activation_similarity")
        begin(model)
        x, y = digits(0, VALIDATION)
        # Pruning has come to its target in training.
        accuracy = model.evaluate(x, y, verbose=0)[1]
        returned = consolidate(model)
        report = self.check(model)
        self.assertEqual(returned, report)
        self.assertEqual((report.name, report.plane), ("task 0", 0))
        self.assertIsNone(report.nearest)
        self.assertEqual(report.monitor, "accuracy")
        self.assertAlmostEqual(report.quality_before, accuracy, places=5)
        learn(model, 1)
        report = self.check(model, 1)
        self.assertEqual(report.nearest, "task 0")
        self.assertGreater(report.divergence, 0)
        with self.assertRaisesRegex(ValueError, "Unknown task 'c'"):
            model.report("c")

    def test_always_sharing(self):
        model = make_model(sharing="always")
        learn(model, 0)
        self.check(model)
        before = everything(model)
        learn(model, 1)
        report = self.check(model, 1)
        self.assertGreater(sum(report.shared.values()), 0)
        self.assertEqual(report.plane, 0)
        first, second = (
            model.bank.effective("task 0"),
            model.bank.effective("task 1"),
        )
        shared = model.bank.masks("task 1")[0][1]
        np.testing.assert_array_equal(first[0][shared], second[0][shared])
        self.assertEqual(everything(model)[1][:1], before[1])

    @parameterized.parameters(("default", "always"), (None, None))
    def test_without_quantization(self, pruning, sharing):
        model = make_model(
            mlp(16), pruning=pruning, quantization=None, sharing=sharing
        )
        begin(model)
        expected = model.running_task.masks[0]
        report = consolidate(model)
        self.check(model)
        self.assertEqual(set(report.bits.values()), {32})
        self.assertEqual(report.quality_before, report.quality_after)
        np.testing.assert_array_equal(
            model.bank.effective("task 0")[0], expected.effective()
        )
        sparsity = 0.7 if pruning else 0.0
        found = next(iter(report.sparsity.values()))
        self.assertAlmostEqual(found, sparsity, places=2)

    def test_without_pruning(self):
        model = make_model(pruning=None)
        report = learn(model)
        self.check(model)
        self.assertEqual(set(report.sparsity.values()), {0.0})
        learn(model, 1)
        self.check(model, 1)

    def test_learned_scores(self):
        model = make_model(pruning=ScorePruning(0.7, frequency=5))
        before = np.array(model.switch.kernels[0].scores)
        begin(model, epochs=6)
        after = np.array(model.switch.kernels[0].scores)
        self.assertGreater(np.abs(after - before).max(), 0)
        report = consolidate(model)
        self.check(model)
        self.assertAlmostEqual(min(report.sparsity.values()), 0.7, places=2)
        self.assertGreater(report.quality_after, 0.5)

    @parameterized.parameters((250, MagnitudePruning), (400, FisherPruning))
    def test_budget(self, budget, strategy):
        model = make_model(
            mlp(16, [keras.layers.Dense(16, activation="relu")]),
            pruning=strategy(budget=budget, frequency=5),
        )
        learn(model, epochs=4)
        self.check(model)
        components = model.bank["task 0"].components
        taken = sum(component.num_bytes for component in components)
        self.assertLessEqual(taken, budget)
        self.assertGreater(taken, 0.8 * budget)

    @parameterized.parameters("clustered", "linear")
    def test_a_budget_does_not_cost_more_than_its_bytes(self, codebook):
        """Codes that should be wider do not take the place of the weights."""
        kept = []
        for tolerance in (0.9, 0.0):
            quantization = AdaptiveCodebook(
                min_width=1,
                tolerance=tolerance,
                fine_tune_steps=5,
                codebook=codebook,
            )
            model = make_model(
                mlp(16, [keras.layers.Dense(16, activation="relu")]),
                pruning=MagnitudePruning(budget=200, frequency=5),
                quantization=quantization,
            )
            begin(model, epochs=4)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                consolidate(model)
            components = model.bank["task 0"].components
            taken = sum(component.num_bytes for component in components)
            self.assertLessEqual(taken, 200)
            kept.append(sum(component.own_count for component in components))
        self.assertGreater(kept[1], 0.8 * kept[0])

    def test_budget_that_nothing_fits(self):
        model = make_model(pruning=MagnitudePruning(budget=5))
        with self.assertRaisesRegex(ValueError, "`budget` is too small"):
            begin(model)
        self.assertEqual(model.bank.tasks, ())
        self.assertFalse(model.running_task.begun)

    def test_fisher_needs_squared_gradients(self):
        optimizer = keras.optimizers.SGD(0.1)
        model = make_model(pruning="fisher", optimizer=optimizer)
        with self.assertRaisesRegex(ValueError, "SGD keeps none.*Magnitude"):
            begin(model)

    def test_linear_codebook(self):
        quantization = AdaptiveCodebook(
            min_width=3, max_width=4, codebook="linear", fine_tune_steps=5
        )
        model = make_model(quantization=quantization)
        learn(model)
        self.check(model)
        centroids = model.bank["task 0"].components[0].codebook
        steps = np.diff(np.float64(np.sort(centroids)))
        np.testing.assert_allclose(steps, steps[0], rtol=1e-3)

    def test_kernels_that_are_not_negative(self):
        hidden = keras.layers.Dense(
            32,
            activation="relu",
            kernel_initializer=keras.initializers.RandomUniform(0.0, 0.2),
            kernel_constraint="non_neg",
        )
        # Steps enough to bring centroids below zero.
        model = make_model(
            keras.Sequential([keras.Input((64,)), hidden]),
            pruning=None,
            quantization=AdaptiveCodebook(min_width=3, fine_tune_steps=300),
        )
        model.add_task("a", keras.layers.Dense(10))
        x, y = digits(0, slice(0, 200))
        model.fit(x, y, epochs=3, verbose=0)
        model.consolidate((x, y), verbose=0)
        (values,) = model.bank.effective("a")
        self.assertGreaterEqual(values.min(), 0.0)
        self.assertGreater(values.max(), 0.0)

    def test_pruning_on(self):
        pruning = MagnitudePruning(0.2, frequency=5, tolerance=0.05)
        model = make_model(pruning=pruning)
        begin(model, epochs=5)
        report = consolidate(model)
        self.check(model)
        self.assertGreater(min(report.sparsity.values()), 0.3)
        self.assertGreater(
            report.quality_after, report.quality_before - 0.052 - 1e-6
        )

    def test_training_that_stopped_before_the_target(self):
        model = make_model(pruning=MagnitudePruning(0.9, frequency=1000))
        begin(model, epochs=100, callbacks=[StopAfterOneEpoch()])
        self.assertGreater(model.running_task.masks[0].mask.mean(), 0.5)
        report = consolidate(model)
        self.check(model)
        self.assertAlmostEqual(min(report.sparsity.values()), 0.9, places=2)

    def test_missed_tolerance_warns(self):
        quantization = AdaptiveCodebook(0.0, 1, 1, fine_tune_steps=0)
        model = make_model(
            mlp(8), MagnitudePruning(0.9, frequency=5), quantization
        )
        begin(model, epochs=6)
        with self.assertWarnsRegex(UserWarning, "tolerance was not kept"):
            consolidate(model, monitor="loss")

    def test_the_best_found_where_no_width_is_enough(self):
        qualities, found = iter((0.1, 0.3, 0.3, 0.2)), []

        def hopeless(self, codebooks):
            found.append(codebooks)
            values = self.quality.private_values()
            self.quality.install_private([value + 1 for value in values])
            return codebooks, next(qualities, 0.0)

        model = make_model(quantization=AdaptiveCodebook(0.0, 2, 8))
        begin(model, epochs=4)
        start = model.switch.private_values()
        with (
            mock.patch.object(Consolidation, "fine_tuned", hopeless),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            report = consolidate(model)
        self.assertGreater(len(found), 4)
        (width,) = report.bits.values()
        self.assertEqual(width, found[1][0].width)
        for value, before in zip(model.bank.private("task 0"), start):
            np.testing.assert_allclose(value, before + 2, atol=0.3)

    def test_the_narrowest_where_all_are_equally_bad(self):
        found = []

        def hopeless(self, codebooks):
            found.append(codebooks)
            return codebooks, -np.inf

        model = make_model(quantization=AdaptiveCodebook(0.0, 2, 8))
        begin(model)
        with mock.patch.object(Consolidation, "fine_tuned", hopeless):
            report = consolidate(model)
        self.assertGreater(len(found), 1)
        self.assertEqual([*report.bits.values()], [found[0][0].width])

    @parameterized.parameters("always", "never")
    def test_nothing_is_validated_twice(self, sharing):
        model = make_model(
            mlp(extra=[keras.layers.Dense(64), keras.layers.Dense(16)]),
            quantization=AdaptiveCodebook(0.0, 1, 3, fine_tune_steps=5),
            sharing=sharing,
        )
        learn(model, 0, epochs=6)
        begin(model, 1, epochs=6)
        validated, untold = [], Validation.results

        def results(self):
            work = model.switch
            values = [kernel.effective().numpy() for kernel in work.kernels]
            values += work.private_values()
            validated.append(hash(b"".join(v.tobytes() for v in values)))
            return untold(self)

        with (
            mock.patch.object(Validation, "results", results),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            report = consolidate(model, 1)
        self.assertGreater(len(validated), 8)
        self.assertLen(set(validated), len(validated))
        accuracy = model.evaluate(*digits(1, VALIDATION), verbose=0)[1]
        self.assertAlmostEqual(report.quality_after, accuracy, places=5)

    def test_loss_as_the_quality(self):
        model = make_model()
        begin(model)
        report = consolidate(model, monitor="loss")
        self.assertEqual(report.monitor, "loss")
        x, y = digits(0, VALIDATION)
        loss = model.evaluate(x, y, verbose=0)[0]
        self.assertAlmostEqual(report.quality_after, loss, places=4)

    def test_an_error_in_the_middle_changes_nothing(self):
        model = make_model(mlp(extra=[keras.layers.BatchNormalization()]))
        learn(model, 0)
        begin(model, 1)
        x, _ = digits(1, VALIDATION)
        before = model.predict(x, verbose=0), everything(model)
        with (
            mock.patch.object(model.bank, "add", side_effect=KeyboardInterrupt),
            self.assertRaises(KeyboardInterrupt),
        ):
            consolidate(model, 1)
        self.assertEqual(everything(model), before[1])
        np.testing.assert_array_equal(model.predict(x, verbose=0), before[0])
        fit(model, 1)
        consolidate(model, 1)
        self.assertEqual(model.tasks, ("task 0", "task 1"))


class InterruptTest(parameterized.TestCase):
    def test_ctrl_c_ends_a_search_with_what_holds(self):
        """Whenever it comes: the task holds, or it is as it was."""
        quantization = AdaptiveCodebook(
            min_width=1, max_width=8, fine_tune_steps=2
        )
        model = make_model(quantization=quantization)
        begin(model, epochs=4)
        before = model.predict(digits(0, TEST)[0], verbose=0)
        untold, ended = Validation.quality, []
        for last in range(1, 40):
            calls = []

            def interrupted(self, **arguments):
                calls.append(None)
                if len(calls) == last:
                    raise KeyboardInterrupt
                return untold(self, **arguments)

            with (
                mock.patch.object(Validation, "quality", interrupted),
                warnings.catch_warnings(record=True) as caught,
            ):
                warnings.simplefilter("always")
                try:
                    report = consolidate(model)
                except KeyboardInterrupt:
                    after = model.predict(digits(0, TEST)[0], verbose=0)
                    np.testing.assert_array_equal(after, before)
                    continue
            told = any("interrupted" in str(one.message) for one in caught)
            ended.append((told, report.kept))
            break
        self.assertEqual(ended, [(True, True)])
        x, y = digits(0, VALIDATION)
        quality = model.evaluate(x, y, verbose=0)[1]
        self.assertAlmostEqual(report.quality_after, quality, places=5)


    def test_a_fault_in_between(self):
        model = make_model(mlp(extra=[keras.layers.BatchNormalization()]))
        learn(model, 0)
        x, _ = digits(1, TEST)
        begin(model, 1)
        before = model.predict(x, verbose=0)
        for line in (0, 40, 400, 1500, 3000):
            fault = faults.interrupted(lambda: consolidate(model, 1), line)
            self.assertTrue(fault)
            np.testing.assert_array_equal(model.predict(x, verbose=0), before)
        consolidate(model, 1)
        self.assertEqual(model.bank.tasks, ("task 0", "task 1"))

    def test_what_the_bank_holds_is_consolidated(self):
        """Though something interrupts the last step."""
        model = make_model()
        learn(model, 0)
        begin(model, 1)
        heads = model.compiled_heads
        interrupted = [KeyboardInterrupt, mock.DEFAULT]
        with (
            mock.patch.object(heads, "let_go", side_effect=interrupted),
            self.assertRaises(KeyboardInterrupt),
        ):
            consolidate(model, 1)
        self.assertIsNone(model.running_task)
        self.assertEqual(model.bank.tasks, ("task 0", "task 1"))
        self.assertGreater(model.report("task 1").quality_after, 0.3)
        learn(model, 2)


class StopAfterOneEpoch(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True
