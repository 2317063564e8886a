import keras
import numpy as np
from absl.testing import absltest

from tests.baselines.small_tasks import (
    accuracies,
    compiled,
    learn,
    learned,
    make_backbone,
    make_tasks,
)
from tsn_keras import baselines


class SeparateNetworksTest(absltest.TestCase):
    def test_nothing_is_forgotten_at_the_price_of_all_networks(self):
        tasks = make_tasks()
        method = compiled(baselines.SeparateNetworks(make_backbone(), seed=0))
        learn(method, tasks[0])
        x, _ = next(iter(tasks[0].test))
        before = method.predict(x, verbose=0)
        for task in tasks[1:]:
            learn(method, task)
        after = method.predict(x, task=tasks[0].name, verbose=0)
        np.testing.assert_array_equal(after, before)
        self.assertGreater(min(accuracies(method, tasks)), 0.9)
        self.assertEqual(method.capacity().fraction, 3.0)

    def test_asking_meanwhile_changes_no_training(self):
        tasks = make_tasks(2)
        x, _ = next(iter(tasks[0].test))
        asked = compiled(baselines.SeparateNetworks(make_backbone(), seed=0))
        learn(asked, tasks[0])
        ask = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: asked.predict(
                x, task=tasks[0].name, verbose=0
            )
        )
        asked.add_task(tasks[1].name, head=keras.layers.Dense(4))
        asked.fit(tasks[1].train, epochs=4, verbose=0, callbacks=[ask])
        asked.consolidate()
        quiet = compiled(baselines.SeparateNetworks(make_backbone(), seed=0))
        learned(quiet, make_tasks(2))
        for task in tasks:
            np.testing.assert_array_equal(
                asked.predict(x, task=task.name, verbose=0),
                quiet.predict(x, task=task.name, verbose=0),
            )
