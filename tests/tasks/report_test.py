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
from tsn_keras.bank import DamagedFileError, WeightBank
from tsn_keras.pruning import MagnitudePruning
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.saving.stores import load_bank
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
            effects["pruning"] + effects["quantization"] + effects["private"],
            report.quality_after - report.quality_before,
            places=5,
        )
        self.assertIsNone(effects["sharing"])

    def test_a_lower_loss_is_a_gain(self):
        facts = {"before": 0.5, "pruned": 0.4, "quantized": 0.6, "after": 0.7}
        report = report_with(learned_bank(), "task 0", better=-1, **facts)
        self.assertAlmostEqual(report.loss, 0.2)
        self.assertAlmostEqual(report.effects["pruning"], 0.1)
        self.assertAlmostEqual(report.effects["quantization"], -0.2)
        self.assertAlmostEqual(report.effects["private"], -0.1)

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

    def test_units_that_nobody_needs_are_no_matter(self):
        """The default leaves them out, and holds the quality without them."""
        model = make_model(pruning=MagnitudePruning(0.995))
        learn(model)
        facts = {"finds_sparsity": True, "before": 0.5, "allowed": 0.01}
        for after, count in ((0.5, 0), (0.4, 1)):
            report = report_with(
                model.bank, "task 0", **facts, pruned=0.5, after=after
            )
            units = [w for w in report.warnings if "units of kernel" in w]
            self.assertLen(units, count)

    @parameterized.parameters(
        ((0.85, 0.85, 0.85), ["Over-pruned"]),
        ((0.9, 0.85, 0.85), ["Over-quantized"]),
        ((0.9, 0.9, 0.85), ["Private variables"]),
        ((0.9, 0.87, 0.83), ["Private variables", "Over-quantized"]),
        ((0.44, 0.4296, 0.43), ["Over-pruned", "Over-quantized"]),
        ((0.895, 0.892, 0.89), []),
    )
    def test_the_stage_that_cost_most_comes_first(self, stages, culprits):
        names = ("pruned", "quantized", "after")
        facts = {"before": 0.9, "allowed": 0.01, **dict(zip(names, stages))}
        report = report_with(learned_bank(), "task 0", **facts)
        self.assertLen(report.warnings, len(culprits))
        for warning, culprit in zip(report.warnings, culprits):
            self.assertStartsWith(warning, culprit)
        self.assertEqual(report.kept, not culprits)
        self.assertAlmostEqual(report.loss, 0.9 - stages[-1])

    def test_chance_level(self):
        facts = dict.fromkeys(("before", "pruned", "quantized", "after"), 0.34)
        for after, said in ((0.34, "already as `fit`"), (0.2, "after its")):
            facts["before"] = 0.34 if after == 0.34 else 0.9
            facts["after"] = after
            report = report_with(learned_bank(), "task 0", **facts, chance=0.35)
            self.assertRegex(report.warnings[0], f"At chance level, {said}")
        facts["after"] = facts["before"] = 0.9
        report = report_with(learned_bank(), "task 0", **facts, chance=0.35)
        self.assertNotIn("chance", " ".join(report.warnings))

    def test_validation_data_that_are_training_data(self):
        for rows in (TRAIN, VALIDATION):
            model = make_model()
            begin(model)
            x, y = digits(0, rows)
            report = model.consolidate((x.copy(), y), verbose=0)
            said = "The validation data are the training data"
            noted = any(said in warning for warning in report.warnings)
            self.assertEqual(noted, rows == TRAIN)

    @parameterized.parameters(
        ({"better": 1, "before": 0.85, "denser": 0.9}, -0.05),
        ({"better": -1, "before": 0.5, "denser": 0.4}, -0.1),
        ({"better": 1, "before": 0.9, "denser": 0.89}, 0.01),
    )
    def test_what_training_with_fewer_slots_lost(self, facts, effect):
        names = ("pruned", "quantized", "after")
        stages = dict.fromkeys(names, facts["before"])
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
        stages = ("before", "pruned", "quantized", "after")
        good = dict.fromkeys(stages, 0.88)
        self.assertEqual(report_with(bank, "task 1", **good).warnings, [])
        bad = dict.fromkeys(stages, 0.8)
        (warning,) = report_with(bank, "task 1", **bad).warnings
        self.assertRegex(warning, "Negative transfer: .*'task 0'.*0.1000")

    def test_as_a_table(self):
        name = "<i>$x$</i>\n"
        report = dataclasses.replace(
            report_with(learned_bank(), "task 0"),
            name=name,
            warnings=["Over-pruned: <b>"],
        )
        title, header, row, plane, warning = str(report).splitlines()
        self.assertStartsWith(title, r"Task '<i>$x$</i>\n': accuracy 0.")
        self.assertRegex(header, "kernel +sparsity +bits +own +shared")
        ((path, own),) = report.own.items()
        self.assertRegex(row, rf"{path} +70.0% +{report.bits[path]} +{own} +0")
        self.assertStartsWith(plane, "plane 0, own plane")
        self.assertEqual(warning, "warning: Over-pruned: <b>")
        shown = report._repr_html_()
        self.assertIn("&lt;i&gt;$x$&lt;/i&gt;", shown)
        self.assertNotIn("<b>", shown)
        self.assertEqual(
            report.to_csv(),
            '"task","kernel","sparsity","bits","own","shared"\n'
            f'"{name}","{path}",{report.sparsity[path]},'
            f"{report.bits[path]},{own},0\n",
        )
        frame = report.to_dataframe()
        self.assertEqual(frame["task"][0], name)
        self.assertEqual(frame["own"][0], own)
        self.assertStartsWith(repr(report), "TaskReport(name=")

class SavedFactsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("before", "much"),
        ("monitor", None),
        ("nearest", "no task"),
        ("nearest", 3),
        ("reason", "because"),
        ("losses", [1.0]),
        ("losses", 3),
        ("class_names", 3),
        ("better", [1]),
        ("class_names", [1]),
    )
    def test_facts_that_no_report_has_are_refused(self, name, value):
        model = make_model(sharing="activation_similarity")
        learn(model, 0)
        learn(model, 1)
        saved = with_facts(model.bank, "task 1", **{name: value}).to_bytes()
        before = model.bank.to_bytes()
        with self.assertRaisesRegex(DamagedFileError, name):
            load_bank(saved, {}, model)
        self.assertEqual(model.bank.to_bytes(), before)
        load_bank(before, {}, model)
