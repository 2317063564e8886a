"""Tests of `remove_task`: the task is gone, all others keep every bit."""

import os
import tempfile
import zipfile

import keras
import numpy as np
from absl.testing import absltest, parameterized

import tsn_keras
from tests import faults
from tests.digits_tasks import (
    TEST,
    CountsTraces,
    begin,
    consolidate,
    digits,
    fit,
    learn,
    logits,
    make_model,
    mlp,
    reloaded,
)
from tests.threads import at_once
from tsn_keras.bank import BudgetError
from tsn_keras.evaluation.occupancy import bytes_by_task, occupancy
from tsn_keras.pruning import MagnitudePruning, ScorePruning


def learned(count=3, sharing="always", **arguments):
    model = make_model(sharing=sharing, **arguments)
    for number in range(count):
        learn(model, number, epochs=1)
    return model


def answers(model):
    """Returns logits, kernels and private variables of all tasks, as bytes."""
    return {
        task: (
            logits(model, int(task.split()[1])).tobytes(),
            *(kernel.tobytes() for kernel in model.bank.effective(task)),
            *(value.tobytes() for value in model.bank.private(task)),
        )
        for task in model.tasks
    }


def saved_bytes(model):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            return b"".join(map(archive.read, archive.namelist()))


class RemovalTest(parameterized.TestCase):
    @parameterized.product(
        number=[0, 1, 2], sharing=["always", "never", "warm_start"]
    )
    def test_all_others_keep_every_bit(self, number, sharing):
        model = learned(sharing=sharing)
        before = answers(model)
        bits = sum(int(model.bank.used_bits(i).sum()) for i in range(1))
        size = model.capacity().total_bytes
        del before[f"task {number}"]
        model.remove_task(f"task {number}")
        self.assertEqual(answers(model), before)
        self.assertEqual(answers(reloaded(model)), before)
        self.assertEqual(reloaded(model).bank.to_bytes(), model.bank.to_bytes())
        self.assertLess(model.capacity().total_bytes, size)
        left = sum(int(model.bank.used_bits(i).sum()) for i in range(1))
        self.assertLessEqual(left, bits)
        if sharing != "always" or number == 2:
            self.assertLess(left, bits)
        for task in model.tasks:
            self.assertNotEqual(model.report(task).nearest, f"task {number}")
            str(model.report(task)), model.report(task).to_dict()

    def test_nothing_of_it_is_in_the_next_file(self):
        model = make_model(sharing="always")
        for number, name in enumerate(("task 0", "secret", "task 2")):
            model.add_task(
                name,
                head=keras.layers.Dense(10 + (number == 1)),
                class_names=[f"{name} {i}" for i in range(10 + (number == 1))],
            )
            fit(model, number, epochs=1)
            consolidate(model, number)
        private = [code.data for code in model.bank["secret"].private]
        own_codes = [c.codes for c in model.bank["secret"].components]
        head = model.heads
        with head.reading(1):
            weights = [np.array(weight) for weight in head.head.weights]
        model.remove_task("secret")
        saved = saved_bytes(model) + model.bank.to_bytes()
        self.assertNotIn(b"secret", saved)
        for part in (*private, *own_codes):
            if len(part) > 8:
                self.assertNotIn(part, saved)
        # Nor in the variables: its head is nobody else's.
        with head.reading(1):
            for weight, before in zip(head.head.weights, weights):
                self.assertGreater(np.abs(weight - before).max(), 0)
        for optimizer in model.compiled_heads.optimizers:
            for variable in optimizer.variables:
                if variable.ndim:
                    np.testing.assert_array_equal(variable, 0)

    @parameterized.parameters(MagnitudePruning, ScorePruning)
    def test_nothing_of_the_latest_stays_in_the_variables(self, pruning):
        model = learned(2, pruning=pruning(0.7))
        kernels = [np.array(v) for v in model.switch.trained]
        model.remove_task("task 1")
        for variable, before in zip(model.switch.trained, kernels):
            self.assertGreater(np.abs(before).max(), 0)
            np.testing.assert_array_equal(variable, 0)
        x, _ = digits(0, TEST)
        np.testing.assert_allclose(model(x), logits(model, 0), atol=1e-5)
        model.add_task("c", head=keras.layers.Dense(10))
        for kernel in reloaded(model).switch.kernels:
            np.testing.assert_array_equal(kernel.kernel, 0)

    def test_its_head_can_be_used_again(self):
        model = learned(1)
        layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(10)]
        head = keras.Sequential(layers)
        for name in ("a", "b"):
            model.add_task(name, head=head)
            history = fit(model, 1, epochs=4).history
            self.assertLess(history["loss"][-1], history["loss"][0] - 0.3)
            consolidate(model, 1)
            model.remove_task(name)

    def test_bundles_and_files_after_it(self):
        model = learned(3)
        x, _ = digits(2, TEST)
        before = logits(model, 2)
        model.remove_task("task 0")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "all.tflite")
            tsn_keras.lite.export_bundle(model, path)
            found = tsn_keras.lite.TaskRunner(path)
            self.assertEqual(found.tasks, model.tasks)
            np.testing.assert_allclose(
                found.predict(x, task="task 2"), before, atol=1e-4
            )
            path = os.path.join(folder, "one.tflite")
            model.export(path, format="litert", task="task 2")

    def test_what_was_compiled_and_traced_for_it_is_gone(self):
        model = learned(2, "never")
        parts = len(model.compiled_heads.optimizers)
        for name in ("a", "b", "c"):
            model.add_task(name, keras.layers.Dense(10), metrics=["accuracy"])
            fit(model, 0, epochs=1)
            consolidate(model, 0)
            logits(model, 0, task=name)
            model.remove_task(name)
        self.assertLen(model.compiled_heads.optimizers, parts)

    def test_who_owns_what(self):
        model = learned(3)
        model.remove_task("task 0")
        (kernel,) = occupancy(model.bank)
        self.assertEqual(sum(kernel.bits), model.bank.used_bits(0).sum())
        self.assertLen(kernel.bits, 3)
        by_task = bytes_by_task(model.bank)
        self.assertEqual([*by_task][:2], [*model.tasks])
        stored = sum(by_task["(removed tasks)"].values())
        self.assertBetween(stored, 1, 500)
        self.assertIn("only this is left", model.report("task 1").sharing)

    def test_its_slots_can_be_used_again(self):
        half = MagnitudePruning(0.5, frequency=5)
        model = learned(2, "never", pruning=half, quantization=None)
        with self.assertRaisesRegex(BudgetError, "bits"):
            learn(model, 2, epochs=1)
        model.discard_task()
        before = answers(model)
        model.remove_task("task 0")
        learn(model, 2, epochs=1)
        self.assertEqual(answers(model)["task 1"], before["task 1"])
        np.testing.assert_array_equal(model.bank.used_bits(0), 32)

    def test_a_task_of_its_name_is_another_one(self):
        model = learned()
        view = model.task("task 1")
        x, _ = digits(1, TEST)
        before = view.predict(x, verbose=0)
        others = model.task("task 2")
        model.remove_task("task 1")
        np.testing.assert_array_equal(view.predict(x, verbose=0), before)
        model.add_task("task 1", head=keras.layers.Dense(10))
        fit(model, 5, epochs=1)
        model.consolidate(digits(5, TEST), verbose=0)
        fresh = model.predict(x, task="task 1", verbose=0)
        self.assertGreater(np.abs(fresh - before).max(), 0.01)
        # A view holds what it was made for, and tells of nothing else.
        np.testing.assert_array_equal(view.predict(x, verbose=0), before)
        np.testing.assert_allclose(view(x), before, atol=1e-5)
        with self.assertRaisesRegex(ValueError, "removed the task"):
            view.evaluate(*digits(1, TEST), verbose=0)
        with self.assertRaisesRegex(ValueError, "removed the task"):
            view.report
        # Those of other tasks stay.
        self.assertEqual(others.report.name, "task 2")
        self.assertIsNotNone(model.kept_examples.of(model.bank["task 2"]))

    def test_what_cannot_be_removed(self):
        model = learned(2)
        saved = model.bank.to_bytes()
        for name, error, message in (
            ("task 9", ValueError, "Unknown task 'task 9'"),
            (7, TypeError, "`task` must be a string"),
        ):
            with self.assertRaisesRegex(error, message):
                model.remove_task(name)
        begin(model, 2, epochs=1)
        for name in ("task 0", "task 2"):
            with self.assertRaisesRegex(ValueError, "'task 2' is running"):
                model.remove_task(name)
        with self.assertRaisesRegex(ValueError, "Unknown task 'zzz'"):
            model.remove_task("zzz")
        self.assertEqual(model.bank.to_bytes(), saved)
        model.discard_task()
        model.remove_task("task 0")
        with self.assertRaisesRegex(ValueError, "Unknown task 'task 0'"):
            model.remove_task("task 0")
        with self.assertRaisesRegex(ValueError, "Unknown task 'task 0'"):
            logits(model, 0)
        with self.assertRaisesRegex(ValueError, "the only one"):
            model.remove_task("task 1")
        self.assertEqual(model.tasks, ("task 1",))

    def test_an_interrupt_leaves_one_or_the_other(self):
        model = learned(4)
        expected = answers(model)
        count = 0
        for task in ("task 3", "task 0"):
            copied = reloaded(model)
            lines = faults.lines_of(lambda: copied.remove_task(task))
            for line in range(0, lines, lines // 8):
                copied = reloaded(model)
                interrupted = faults.interrupted(
                    lambda: copied.remove_task(task), line
                )
                count += interrupted
                left = [t for t in expected if t != task or t in copied.tasks]
                found = answers(copied)
                self.assertEqual(found, {t: expected[t] for t in left})
                # Called as it is, the model is its latest task.
                number = int(copied.tasks[-1].split()[1])
                x, _ = digits(number, TEST)
                np.testing.assert_allclose(
                    copied(x), logits(copied, number), atol=1e-5
                )
        self.assertGreater(count, 8)

    def test_weights_that_are_set_after_an_interrupt_stay(self):
        model = learned(2)
        model.switch.leave()
        weights = [0.5 * weight for weight in model.get_weights()]
        model.set_weights(weights)
        model(digits(0, TEST)[0])
        for one, other in zip(model.get_weights(), weights):
            np.testing.assert_array_equal(one, other)

    def test_others_are_read_meanwhile(self):
        model = learned(4)
        expected = answers(model)

        def read():
            for _ in range(10):
                for task in ("task 2", "task 3"):
                    number = int(task.split()[1])
                    found = logits(model, number).tobytes()
                    self.assertEqual(found, expected[task][0])

        def remove():
            model.remove_task("task 0")
            model.remove_task("task 1")

        at_once(read, remove, read)
        self.assertEqual(model.tasks, ("task 2", "task 3"))

    def test_nothing_is_traced_again(self):
        model = learned(3, model_class=CountsTraces)
        logits(model, 0), logits(model, 2)
        traces = model.predict_traces
        model.remove_task("task 1")
        logits(model, 0), logits(model, 2)
        self.assertEqual(model.predict_traces, traces)

    def test_summary_capacity_and_copies(self):
        model = learned(3)
        model.remove_task("task 1")
        lines = []
        model.summary(print_fn=lines.append)
        self.assertNotIn("task 1", "\n".join(lines))
        clone = reloaded(model)
        clone.remove_task("task 0")
        self.assertEqual(clone.tasks, ("task 2",))
        other = make_model(mlp(), sharing="always")
        other.add_task("any", head=keras.layers.Dense(10))
        other.discard_task()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "x.weights.h5")
            model.save_weights(path)
            other.load_weights(path)
        self.assertEqual(answers(other), answers(model))


if __name__ == "__main__":
    absltest.main()
