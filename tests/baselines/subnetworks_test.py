import keras
import numpy as np
from absl.testing import parameterized

from tests.baselines.small_tasks import (
    accuracies,
    compiled,
    learn,
    learned,
    make_backbone,
    make_tasks,
)
from tsn_keras import baselines
from tsn_keras.baselines.subnetworks import UPDATE

METHODS = {"packnet": baselines.packnet, "wsn": baselines.wsn}


class SubnetworksTest(parameterized.TestCase):
    @parameterized.parameters(*METHODS)
    def test_nothing_is_forgotten(self, name):
        tasks = make_tasks()
        method = compiled(METHODS[name](make_backbone(), 1 / 3, seed=0))
        learn(method, tasks[0])
        x, _ = next(iter(tasks[0].test))
        before = method.predict(x, verbose=0)
        for task in tasks[1:]:
            learn(method, task)
        after = method.predict(x, task=tasks[0].name, verbose=0)
        np.testing.assert_array_equal(after, before)
        self.assertGreater(np.mean(accuracies(method, tasks)), 0.85)

    @parameterized.parameters(("packnet", [0, 128, 256]), ("wsn", [0, 0, 0]))
    def test_slots_of_each_task(self, name, shared):
        tasks = make_tasks()
        method = compiled(METHODS[name](make_backbone(), 1 / 3, seed=0))
        learned(method, tasks, epochs=1)
        reports = [method.report(task.name) for task in tasks]
        for report, count in zip(reports, shared):
            self.assertEqual(sum(report.own.values()), 128)
            self.assertEqual(sum(report.shared.values()), count)
            self.assertEqual(set(report.bits.values()), {32})

    def test_wsn_is_sparse_from_its_first_update_on(self):
        (task,) = make_tasks(1)
        method = compiled(baselines.wsn(make_backbone(), 0.25, seed=0))
        method.add_task(task.name, head=keras.layers.Dense(4))
        seen = []

        def note(step, logs):
            (mask,) = method.running_task.masks
            seen.append(int(mask.mask.sum()))

        method.fit(
            task.train,
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)],
        )
        self.assertEqual(set(seen[UPDATE:]), {96})
