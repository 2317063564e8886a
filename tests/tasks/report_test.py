"""Tests of what reports say of sharing, of each stage, and of failures."""

import dataclasses
import functools

import keras
from absl.testing import parameterized

from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    begin,
    consolidate,
    digits,
    learn,
    make_model,
    reloaded,
)
from tsn_keras.bank import WeightBank
from tsn_keras.pruning import MagnitudePruning
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.tasks.report import make_report


def with_facts(bank, task, **facts):
    """Returns a bank that has noted other facts of a task."""
    records = [
        dataclasses.replace(bank[name], facts={**bank[name].facts, **facts})
        if name == task
        else bank[name]
        for name in bank.tasks
    ]
    return WeightBank(bank.shapes, bank.paths, records, bank.base)


def report_with(bank, task, **facts):
    """Returns the report of a task of which other facts are noted."""
    return make_report(with_facts(bank, task, **facts), task)


@functools.cache
def learned_bank():
    """Returns the bank of one task, for tests that only read it."""
    model = make_model(quantization=AdaptiveCodebook())
    learn(model)
    return model.bank


class TaskReportTest(parameterized.TestCase):
    def test_effects_add_up(self):
        model = make_model(pruning=MagnitudePruning(0.5, tolerance=0.1))
        report = learn(model)
        effects = report.effects
        self.assertAlmostEqual(
            effects["pruning"] + effects["quantization"],
            report.quality_after - report.quality_before,
            places=5,
        )
        self.assertIsNone(effects["sharing"])

    def test_a_lower_loss_is_a_gain(self):
        facts = {"better": -1, "before": 0.5, "pruned": 0.4, "after": 0.6}
        report = report_with(learned_bank(), "task 0", **facts)
        self.assertAlmostEqual(report.effects["pruning"], 0.1)
        self.assertAlmostEqual(report.effects["quantization"], -0.2)

    def test_sharing_says_why(self):
        model = make_model(sharing="always")
        first, second = learn(model, 0), learn(model, 1)
        self.assertEqual(
            first.sharing, "own plane: there is no earlier task to share with"
        )
        self.assertRegex(second.sharing, "shares with 'task 0': the strategy")

    def test_over_pruned_units(self):
        report = learn(make_model(pruning=MagnitudePruning(0.995)))
        self.assertRegex(report.warnings[0], "Over-pruned: .*Lower `sparsity`")

    @parameterized.parameters(
        ({"before": 0.9, "pruned": 0.85, "after": 0.85}, "Over-pruned"),
        ({"before": 0.9, "pruned": 0.9, "after": 0.85}, "Over-quantized"),
    )
    def test_stages_that_cost_much(self, facts, message):
        (warning,) = report_with(learned_bank(), "task 0", **facts).warnings
        self.assertRegex(warning, message)

    @parameterized.parameters(
        ({"better": 1, "before": 0.85, "denser": 0.9}, -0.05),
        ({"better": -1, "before": 0.5, "denser": 0.4}, -0.1),
        ({"better": 1, "before": 0.9, "denser": 0.89}, 0.01),
    )
    def test_what_training_with_fewer_slots_lost(self, facts, effect):
        stages = dict.fromkeys(("pruned", "after"), facts["before"])
        report = report_with(learned_bank(), "task 0", **facts, **stages)
        self.assertAlmostEqual(report.effects["training"], effect)
        warned = any("since the masks held" in w for w in report.warnings)
        self.assertEqual(warned, effect < 0)

    def test_denser_epochs_are_those_that_fit_validated(self):
        model = make_model(pruning=MagnitudePruning(0.97, end=0.6))
        validation = digits(0, VALIDATION)
        history = begin(model, validation_data=validation, epochs=5).history
        for monitor, sign in (("accuracy", 1), ("loss", -1)):
            one = reloaded(model)
            report = consolidate(one, monitor=monitor)
            best = max(sign * v for v in history[f"val_{monitor}"][:3])
            self.assertAlmostEqual(
                report.effects["training"],
                sign * report.quality_before - best,
                places=4,
            )
        self.assertIsNone(learn(one, 1).effects["training"])

    def test_a_fit_that_fails_leaves_no_note(self):
        model = make_model()
        model.add_task("a", keras.layers.Dense(10))

        class Diverges(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch:
                    raise FloatingPointError("too much")

        arguments = {"validation_data": digits(0, VALIDATION), "verbose": 0}
        with self.assertRaisesRegex(FloatingPointError, "too much"):
            model.fit(
                *digits(0, TRAIN),
                epochs=3,
                callbacks=[Diverges()],
                **arguments,
            )
        self.assertEmpty(model.running_task.progress.denser)

    def test_a_metric_of_each_class_is_no_quality(self):
        class Counts(keras.metrics.Metric):
            def update_state(self, *arguments, **keywords):
                pass

            def result(self):
                return keras.ops.ones(10)

        model = make_model(metrics=["accuracy", Counts(name="counts")])
        begin(model, validation_data=digits(0, VALIDATION))
        self.assertIn("accuracy", model.running_task.progress.denser)
        self.assertNotIn("counts", model.running_task.progress.denser)

    def test_negative_transfer(self):
        model = make_model(sharing="always")
        learn(model, 0)
        learn(model, 1)
        bank = with_facts(model.bank, "task 0", after=0.9)
        good = {"before": 0.88, "pruned": 0.88, "after": 0.88}
        self.assertEqual(report_with(bank, "task 1", **good).warnings, [])
        bad = {"before": 0.8, "pruned": 0.8, "after": 0.8}
        (warning,) = report_with(bank, "task 1", **bad).warnings
        self.assertRegex(warning, "Negative transfer: .*'task 0'.*0.1000")
