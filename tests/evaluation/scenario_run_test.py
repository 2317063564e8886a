import contextlib
import dataclasses
import io
import json
import pathlib
import shutil
import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.threads import at_once
from tsn_keras.evaluation import ScenarioRun, progress, scenario_run


def make_data(change=None):
    """Returns images; `change` gets those of all splits, and the labels."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 240)
    images = random.random((240, 4, 4), np.float32) / 4
    images[np.arange(240), labels, labels] += 0.75
    if change is not None:
        images, labels = change(images, labels)
    return tsn_keras.scenarios.ImageData.from_arrays(
        (images[:160], labels[:160]), (images[160:], labels[160:])
    )


def make_tasks(num_tasks=3, change=None, **arguments):
    data = make_data(change)
    return tsn_keras.scenarios.PermutedPixels(data, num_tasks, **arguments)


def make_model(
    units=16, sparsity=0.5, max_width=8, seed=0, rate=0.02, sharing="never"
):
    keras.utils.set_random_seed(0)
    model = tsn_keras.ContinualModel(
        keras.Sequential(
            [keras.Input((16,)), keras.layers.Dense(units, activation="relu")]
        ),
        pruning=tsn_keras.pruning.MagnitudePruning(sparsity),
        quantization=tsn_keras.quantization.AdaptiveCodebook(
            fine_tune_steps=5, max_width=max_width
        ),
        sharing=sharing,
        seed=seed,
    )
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def learn(run, count):
    for _ in range(count):
        run.learn(keras.layers.Dense(4), epochs=4)


class ScenarioRunTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)

    def test_report_and_plots(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 3)
        self.assertEmpty(run.remaining)
        run.finish({"epochs": 4}, single=[1.0, 1.0, 1.0])
        report = json.loads((self.folder / "report.json").read_text())
        self.assertTrue(report["bit_exact"])
        self.assertEqual(report["metrics"]["backward_transfer"], 0.0)
        self.assertGreater(report["metrics"]["average_accuracy"], 0.5)
        self.assertLen(report["tasks"], 3)
        parts = report["training_seconds"], report["consolidation_seconds"]
        self.assertGreater(min(parts), 0.0)
        self.assertLess(sum(parts), report["seconds"])
        self.assertEqual(
            report["capacity"]["total_bytes"],
            run.model.capacity().total_bytes,
        )
        for name in (
            *("accuracy_matrix.png", "capacity.png", "model.keras"),
            "report.html",
        ):
            self.assertGreater((self.folder / name).stat().st_size, 1000)
        page = (self.folder / "report.html").read_text(encoding="utf-8")
        for text in ("Who owns which bits", "permutation_2", self.folder.name):
            self.assertIn(text, page)

    @parameterized.parameters(
        ("write_html_report", "report.html"),
        ("plot_accuracy_matrix", "accuracy_matrix.png"),
        ("plot_capacity", "capacity.png"),
    )
    def test_a_drawing_that_fails_costs_no_report(self, function, file):
        run = ScenarioRun(make_model(), make_tasks(1), self.folder)
        learn(run, 1)
        run.finish({"first": True})
        fails = mock.Mock(side_effect=ImportError("no Matplotlib"))
        with mock.patch.object(scenario_run, function, fails):
            with self.assertWarnsRegex(UserWarning, f"{file}.*no Matplotlib"):
                report = run.finish({"first": False})
        written = json.loads((self.folder / "report.json").read_text())
        self.assertEqual(written, report)
        self.assertFalse(written["config"]["first"])
        names = {path.name for path in self.folder.iterdir()}
        every = {"report.html", "accuracy_matrix.png", "capacity.png"}
        self.assertEqual(every - names, {file})

    @parameterized.parameters((0, 0), (2, 3), ("auto", 3))
    def test_a_row_for_each_task(self, verbose, lines):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            run = ScenarioRun(
                make_model(), make_tasks(2), self.folder, verbose=verbose
            )
            learn(run, 2)
            rows = output.getvalue().splitlines()
            run.finish({})
        self.assertLen(rows, lines)
        said = output.getvalue().splitlines()[lines:]
        self.assertEqual(said, [f"report: {self.folder}/report.html"][:lines])
        if lines:
            self.assertRegex(rows[0], "^task +accuracy +average +sparsity")
            self.assertRegex(rows[1], "^permutation_0 +[0-9.]+% .* 50.0% ")

    def test_progress_of_what_takes_long(self):
        names = ("PATIENCE_SECONDS", "REFRESH_SECONDS", "LOG_SECONDS")
        for name in names:
            self.enterContext(mock.patch.object(progress, name, 0.01))
        with contextlib.redirect_stdout(io.StringIO()) as output:
            run = ScenarioRun(
                make_model(), make_tasks(1), self.folder, verbose=1
            )
            run.learn(keras.layers.Dense(4), epochs=30)
        text = output.getvalue()
        task = r"permutation_0 \(1 of 1\): "
        self.assertRegex(text, task + r"training \d+%, about")
        self.assertRegex(text, task + r"consolidating \d+%")

    def test_callbacks_of_the_user_are_kept(self):
        heard = []

        class Hears(keras.callbacks.Callback):
            def on_consolidate_stage(self, done, stages):
                heard.append(done / stages)

            def on_consolidate_end(self, report):
                heard.append(report.name)

        run = ScenarioRun(make_model(), make_tasks(1), self.folder, verbose=0)
        run.learn(keras.layers.Dense(4), callbacks=Hears())
        *stages, name = heard
        self.assertEqual(name, "permutation_0")
        self.assertEqual(stages, sorted(stages))
        self.assertEqual(stages[-1], 1.0)

    def test_class_names_are_handed_on(self):
        (task,) = make_tasks(1)
        names = [f"class {number}" for number in range(task.num_classes)]
        task = dataclasses.replace(task, class_names=names)
        run = ScenarioRun(make_model(), [task], self.folder)
        learn(run, 1)
        self.assertEqual(run.model.task(task.name).class_names, names)

    def test_one_thread_at_a_time(self):
        run = ScenarioRun(make_model(), make_tasks(1), self.folder)
        refused = []

        def refuse(call, *arguments):
            with self.assertRaisesRegex(RuntimeError, "another thread"):
                call(*arguments)
            refused.append(call)

        class Interferes(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                at_once(
                    lambda: refuse(run.learn, keras.layers.Dense(4)),
                    lambda: refuse(run.finish, {}),
                )

        run.learn(keras.layers.Dense(4), callbacks=[Interferes()])
        self.assertLen(refused, 2)
        self.assertEqual(run.learned, 1)

    def test_resumed_run_ends_in_the_same_bank(self):
        whole = ScenarioRun(make_model(), make_tasks(), self.folder / "a")
        learn(whole, 3)
        parts = ScenarioRun(make_model(), make_tasks(), self.folder / "b")
        learn(parts, 1)
        resumed = ScenarioRun(
            make_model(), make_tasks(), self.folder / "b", resume=True
        )
        self.assertLen(resumed.remaining, 2)
        self.assertEqual(resumed.training_seconds, parts.training_seconds)
        learn(resumed, 2)
        np.testing.assert_array_equal(
            resumed.matrix.values, whole.matrix.values
        )
        self.assertEqual(
            resumed.model.bank.to_bytes(), whole.model.bank.to_bytes()
        )
        self.assertTrue(resumed.finish({})["bit_exact"])

    def test_stopped_between_the_two_files(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 1)
        progress = (self.folder / "progress.json").read_bytes()
        learn(run, 1)
        (self.folder / "progress.json").write_bytes(progress)
        resumed = ScenarioRun(
            make_model(), make_tasks(), self.folder, resume=True
        )
        self.assertLen(resumed.remaining, 1)
        np.testing.assert_array_equal(resumed.matrix.values, run.matrix.values)
        learn(resumed, 1)
        self.assertTrue(resumed.finish({})["bit_exact"])

    def test_a_changed_bit_is_found(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 1)
        model = run.model
        decode = model.bank.effective

        def decode_wrongly(task):
            return [kernel + np.float32(1e-3) for kernel in decode(task)]

        model.switch.forget()
        model.switch.clear_views()
        with mock.patch.object(model.bank, "effective", decode_wrongly):
            self.assertFalse(run.finish({})["bit_exact"])


def rows(part, change):
    """Returns a change of some examples: of training or of test images."""
    rows = slice(0, 160) if part == "train" else slice(160, None)

    def changed(images, labels):
        images, labels = images.copy(), labels.copy()
        images[rows], labels[rows] = change(images[rows], labels[rows])
        return images, labels

    return changed


def with_first(tasks, **changes):
    first, *others = tasks
    return [dataclasses.replace(first, **changes), *others]


def shuffled(tasks, part="train"):
    """Lets each task's data come in another order each time."""
    return [
        dataclasses.replace(
            task,
            **{part: getattr(task, part).unbatch().shuffle(200).batch(32)},
        )
        for task in tasks
    ]


def reversed_rows(images, labels):
    return images[::-1], labels[::-1]


OTHER_TASKS = {
    "images": lambda: make_tasks(change=lambda x, y: (1 - x, y)),
    "one_test_image": lambda: make_tasks(
        change=rows("test", lambda x, y: (np.append(x[:-1], 1 - x[-1:], 0), y))
    ),
    "labels": lambda: make_tasks(change=lambda x, y: (x, (y + 1) % 4)),
    "training_labels": lambda: make_tasks(
        change=rows("train", lambda x, y: (x, (y + 1) % 4))
    ),
    "test_labels": lambda: make_tasks(
        change=rows("test", lambda x, y: (x, (y + 1) % 4))
    ),
    "order_of_test": lambda: make_tasks(change=rows("test", reversed_rows)),
    "order_of_training": lambda: make_tasks(
        change=rows("train", reversed_rows)
    ),
    "preprocessing": lambda: [
        dataclasses.replace(
            task,
            **{
                part: getattr(task, part).map(lambda x, y: (2 * x, y))
                for part in ("train", "validation", "test")
            },
        )
        for task in make_tasks()
    ],
    "seed": lambda: make_tasks(seed=1),
    "validation_split": lambda: make_tasks(validation_split=0.2),
    "batch_size": lambda: make_tasks(batch_size=16),
    "shorter_training": lambda: with_first(
        make_tasks(), train=make_tasks()[0].train.take(3)
    ),
    "num_classes": lambda: with_first(make_tasks(), num_classes=5),
    "later_task": lambda: [
        *make_tasks()[:2],
        dataclasses.replace(make_tasks()[1], name="permutation_2"),
    ],
    "order_of_later_tasks": lambda: [make_tasks()[i] for i in (0, 2, 1)],
    "other_names": lambda: make_tasks()[1:],
    "too_few": lambda: make_tasks()[1:2],
}
OTHER_MODELS = {
    "backbone": lambda: make_model(units=20),
    "pruning": lambda: make_model(sparsity=0.6),
    "quantization": lambda: make_model(max_width=4),
    "sharing": lambda: make_model(sharing="always"),
    "seed": lambda: make_model(seed=1),
    "compile": lambda: make_model(rate=0.01),
}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*")}


class ResumeTest(parameterized.TestCase):
    """Runs of three tasks that were stopped after the first."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.begun = pathlib.Path(folder)
        run = ScenarioRun(make_model(), make_tasks(), cls.begun / "one")
        learn(run, 1)
        cls.record = run.model.bank.to_bytes()
        other = make_tasks(change=lambda x, y: (1 - x, y))
        learn(ScenarioRun(make_model(), other, cls.begun / "other"), 1)

    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder) / "run"
        shutil.copytree(self.begun / "one", self.folder)

    def resume(self, model=None, tasks=None, **arguments):
        return ScenarioRun(
            model or make_model(),
            tasks or make_tasks(),
            self.folder,
            resume=True,
            **arguments,
        )

    def check_refused(self, message, **arguments):
        before = contents(self.folder)
        with self.assertRaisesRegex(
            ValueError, f"{message}.*(another `output_dir`|anew)"
        ):
            self.resume(**arguments)
        self.assertEqual(contents(self.folder), before)

    @parameterized.named_parameters((name, name) for name in OTHER_TASKS)
    def test_other_tasks(self, name):
        self.check_refused("permutation", tasks=OTHER_TASKS[name]())

    @parameterized.parameters(
        ("test_labels", "task 'permutation_0' has other `test` data"),
        ("training_labels", "'permutation_0' has other `train` data"),
        ("later_task", "task 'permutation_2' has other `train` data"),
        ("order_of_later_tasks", "task 1 is 'permutation_2' instead of"),
        ("batch_size", "batch size"),
        ("num_classes", "`num_classes` 5 instead of 4"),
    )
    def test_says_what_differs(self, name, message):
        self.check_refused(message, tasks=OTHER_TASKS[name]())

    @parameterized.named_parameters((name, name) for name in OTHER_MODELS)
    def test_other_settings(self, name):
        self.check_refused(name, model=OTHER_MODELS[name]())

    def test_other_metric(self):
        self.check_refused("`metric`.*loss.*accuracy", metric="loss")

    def test_other_arguments_of_fit(self):
        run = self.resume()
        before = contents(self.folder)
        with self.assertRaisesRegex(ValueError, "`epochs` .5 instead of 4."):
            run.learn(keras.layers.Dense(4), epochs=5)
        self.assertEqual(contents(self.folder), before)
        self.assertLen(run.model.tasks, 1)

    @parameterized.parameters("model.keras", "progress.json")
    def test_file_of_another_run(self, name):
        shutil.copy(self.begun / "other" / name, self.folder)
        self.check_refused("")

    @parameterized.parameters("model.keras", "progress.json")
    def test_missing_file(self, name):
        (self.folder / name).unlink()
        self.check_refused(name)

    def test_matrix_of_another_run(self):
        path = self.folder / "progress.json"
        progress = json.loads(path.read_text())
        progress["matrix"][0][0] = 0.5
        path.write_text(json.dumps(progress))
        self.check_refused("progress.json.*damaged")

    @parameterized.parameters("", "[]", "{}", '{"learned": 1')
    def test_half_a_file(self, text):
        (self.folder / "progress.json").write_text(text)
        self.check_refused("progress.json.*damaged")

    def test_results_of_another_run_are_removed(self):
        results = ("report.json", "accuracy_matrix.png", "capacity.png")
        for name in (*results, "report.html"):
            (self.folder / name).write_text("of another run")
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        self.assertTrue((self.folder / "report.json").exists())
        learn(run, 1)
        names = {path.name for path in self.folder.iterdir()}
        self.assertEqual(names, {"model.keras", "progress.json"})

    def test_another_run_is_not_replaced(self):
        before = contents(self.folder)
        with self.assertRaisesRegex(
            ValueError, "settings: `pruning`. Give.*`output_dir`"
        ):
            ScenarioRun(make_model(sparsity=0.6), make_tasks(), self.folder)
        with self.assertRaisesRegex(ValueError, "data.*another `output_dir`"):
            ScenarioRun(make_model(), make_tasks(seed=5), self.folder)
        self.assertEqual(contents(self.folder), before)
        ScenarioRun(make_model(), make_tasks(), self.folder)

    def test_stopped_in_the_first_save(self):
        shutil.rmtree(self.folder)
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        save = run.model.save

        def save_and_stop(path):
            save(path)
            raise KeyboardInterrupt

        with mock.patch.object(run.model, "save", save_and_stop):
            with self.assertRaises(KeyboardInterrupt):
                learn(run, 1)
        resumed = self.resume()
        self.assertLen(resumed.remaining, 2)
        self.assertEqual(resumed.model.bank.to_bytes(), self.record)

    def test_stopped_before_the_first_save(self):
        shutil.rmtree(self.folder)
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        with mock.patch.object(run.model, "save", side_effect=OSError):
            with self.assertRaises(OSError):
                learn(run, 1)
        self.assertLen(self.resume().remaining, 3)

    def test_more_tasks_may_follow(self):
        self.assertLen(self.resume(tasks=make_tasks(5)).remaining, 4)

    def test_test_data_that_are_shuffled_anew(self):
        shutil.rmtree(self.folder)
        tasks = shuffled(make_tasks(), "test")
        with self.assertWarnsRegex(UserWarning, "permutation_0.*resumed"):
            run = ScenarioRun(make_model(), tasks, self.folder)
        learn(run, 1)
        self.check_refused("`test` data.*another order", tasks=tasks)

    def test_the_same_tasks_in_the_same_process(self):
        # Their training data were read before, which changes their order.
        tasks = list(make_tasks())
        whole = ScenarioRun(make_model(), make_tasks(), self.folder / "whole")
        learn(whole, 2)
        learn(ScenarioRun(make_model(), tasks, self.folder), 1)
        resumed = self.resume(tasks=tasks)
        learn(resumed, 1)
        self.assertEqual(
            resumed.model.bank.to_bytes(), whole.model.bank.to_bytes()
        )
