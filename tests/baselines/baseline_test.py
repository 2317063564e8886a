import pathlib
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.baselines.small_tasks import (
    accuracies,
    compiled,
    learn,
    make_backbone,
    make_tasks,
)
from tsn_keras import baselines

METHODS = {
    "fine_tuning": lambda backbone: baselines.FineTuning(backbone, seed=0),
    "separate": lambda backbone: baselines.SeparateNetworks(backbone, seed=0),
    "joint": lambda backbone: baselines.JointTraining(backbone, 2, seed=0),
    "ewc": lambda backbone: baselines.EWC(backbone, 10.0, 50, seed=0),
    "replay": lambda backbone: baselines.ExperienceReplay(backbone, 20, seed=0),
}


@keras.saving.register_keras_serializable("tests")
class Anchored(baselines.Baseline):
    """A method from outside the library: weights stay near the first task's."""

    def penalty(self):
        anchor = self.kept.get("anchor", [])
        pairs = zip(self.backbone.trainable_variables, anchor)
        return 100.0 * sum(keras.ops.sum((v - a) ** 2) for v, a in pairs)

    def end_task(self, data):
        self.kept.setdefault("anchor", self.backbone.get_weights())


class BaselineTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enterContext(tempfile.TemporaryDirectory())
        )

    def run_all(self, method, tasks, folder="run", resume=False):
        run = tsn_keras.evaluation.ScenarioRun(
            method, tasks, self.folder / folder, resume=resume, verbose=0
        )
        while run.remaining:
            run.learn(keras.layers.Dense(4), epochs=2)
        return run, run.finish({"epochs": 2})

    @parameterized.parameters("fine_tuning", "ewc", "joint")
    def test_a_run_measures_each_alike(self, name):
        method = compiled(METHODS[name](make_backbone()))
        run, report = self.run_all(method, make_tasks(2))
        self.assertGreater(run.matrix.values[1, 1], 0.6)
        self.assertEqual(report["capacity"], method.capacity().to_dict())
        self.assertTrue((self.folder / "run" / "capacity.png").exists())
        self.assertFalse((self.folder / "run" / "report.html").exists())
        self.assertLen(report["tasks"], 2)

    @parameterized.parameters("separate", "replay")
    def test_a_run_goes_on_as_if_it_had_not_stopped(self, name):
        tasks = make_tasks(2)
        whole, expected = self.run_all(
            compiled(METHODS[name](make_backbone())), tasks, "whole"
        )
        begun = tsn_keras.evaluation.ScenarioRun(
            compiled(METHODS[name](make_backbone())),
            make_tasks(2),
            self.folder / "stopped",
            verbose=0,
        )
        begun.learn(keras.layers.Dense(4), epochs=2)
        again, report = self.run_all(
            compiled(METHODS[name](make_backbone())),
            make_tasks(2),
            "stopped",
            resume=True,
        )
        np.testing.assert_array_equal(
            again.matrix.values, whole.matrix.values
        )
        self.assertEqual(report["capacity"], expected["capacity"])
        x, _ = next(iter(tasks[0].test))
        for task in tasks:
            np.testing.assert_array_equal(
                again.model.predict(x, task=task.name, verbose=0),
                whole.model.predict(x, task=task.name, verbose=0),
            )

    def test_a_run_does_not_go_on_as_another_method(self):
        tasks = make_tasks(2)
        begun = tsn_keras.evaluation.ScenarioRun(
            compiled(baselines.EWC(make_backbone(), 10.0)),
            tasks,
            self.folder,
            verbose=0,
        )
        begun.learn(keras.layers.Dense(4), epochs=1)
        with self.assertRaisesRegex(ValueError, "`strength` .20.0 instead"):
            tsn_keras.evaluation.ScenarioRun(
                compiled(baselines.EWC(make_backbone(), 20.0)),
                tasks,
                self.folder,
                resume=True,
            )

    def test_a_method_from_outside(self):
        tasks = make_tasks(2)
        anchored = compiled(Anchored(make_backbone(6), seed=0))
        learn(anchored, tasks[0])
        (before,) = accuracies(anchored, tasks[:1])
        first = anchored.backbone.get_weights()
        learn(anchored, tasks[1])
        for one, other in zip(first, anchored.backbone.get_weights()):
            np.testing.assert_allclose(one, other, atol=0.1)
        self.assertGreater(accuracies(anchored, tasks)[0], before - 0.1)
        network = 4 * make_backbone(6).count_params()
        self.assertEqual(anchored.capacity().bytes["anchor"], network)
        anchored.save(self.folder / "own.keras")
        again = keras.models.load_model(self.folder / "own.keras")
        self.assertEqual(accuracies(again, tasks), accuracies(anchored, tasks))

    def test_classes_of_other_tasks_are_never_predicted(self):
        tasks = make_tasks(2)
        method = compiled(baselines.FineTuning(make_backbone(), seed=0))
        method.add_task("two", head=keras.layers.Dense(2))
        method.fit(
            tasks[0].train.map(lambda x, y: (x, y // 2)), verbose=0, epochs=2
        )
        method.consolidate()
        learn(method, tasks[1])
        self.assertEqual(method.first_class(tasks[1].name), 2)
        x, y = next(iter(tasks[1].test))
        logits = method.predict(x, task=tasks[1].name, verbose=0)
        self.assertEqual(logits.shape, (len(x), 4))
        self.assertEqual(method.predict(x, task="two", verbose=0).shape[1], 2)
        right = np.mean(logits.argmax(axis=1) == np.asarray(y))
        self.assertAlmostEqual(right, accuracies(method, tasks[1:])[0], 5)

    def test_the_heads_of_earlier_tasks_stay(self):
        tasks = make_tasks(2)
        method = compiled(baselines.FineTuning(make_backbone(), seed=0))
        learn(method, tasks[0])
        before = method.heads[0].get_weights()
        learn(method, tasks[1])
        for one, other in zip(before, method.heads[0].get_weights()):
            np.testing.assert_array_equal(one, other)

    def test_calls_in_another_order_are_refused(self):
        (task,) = make_tasks(1)
        method = compiled(baselines.FineTuning(make_backbone()))
        with self.assertRaisesRegex(ValueError, "No task is running"):
            method.fit(task.train)
        with self.assertRaisesRegex(ValueError, "There is no task yet"):
            method.predict(np.zeros((1, 16)))
        method.add_task("a", head=keras.layers.Dense(4))
        with self.assertRaisesRegex(ValueError, "'a' is still running"):
            method.add_task("b", head=keras.layers.Dense(4))
        with self.assertRaisesRegex(ValueError, "No task was trained"):
            method.consolidate(task.validation)
        method.fit(task.train, verbose=0)
        method.consolidate(task.validation)
        with self.assertRaisesRegex(ValueError, "must be new.*'a'"):
            method.add_task("a", head=keras.layers.Dense(4))
        with self.assertRaisesRegex(ValueError, "must be new for task 'b'"):
            method.add_task("b", head=method.heads[0])
        self.assertEqual(method.tasks, ("a",))

    def test_fit_wants_compile(self):
        (task,) = make_tasks(1)
        method = baselines.FineTuning(make_backbone())
        method.add_task("a", head=keras.layers.Dense(4))
        with self.assertRaisesRegex(ValueError, "Call `compile`"):
            method.fit(task.train)
