import numpy as np
from absl.testing import absltest

from tests.baselines.small_tasks import (
    compiled,
    learn,
    learned,
    make_backbone,
    make_tasks,
)
from tsn_keras import baselines


class EWCTest(absltest.TestCase):
    def test_without_strength_it_is_fine_tuning(self):
        tasks = make_tasks(2)
        plain = compiled(baselines.FineTuning(make_backbone(), seed=0))
        ewc = compiled(baselines.EWC(make_backbone(), 0.0, 5, seed=0))
        learned(plain, tasks, epochs=1), learned(ewc, make_tasks(2), epochs=1)
        for one, other in zip(
            plain.backbone.get_weights(), ewc.backbone.get_weights()
        ):
            np.testing.assert_array_equal(one, other)

    def test_one_quadratic_stands_for_those_of_all_tasks(self):
        tasks = make_tasks(2)
        ewc = compiled(baselines.EWC(make_backbone(), 3.0, 50, seed=0))
        places, precisions = [], []
        for task in tasks:
            learn(ewc, task)
            places.append(ewc.backbone.get_weights())
            precisions.append(list(ewc.kept["precision"]))
        second = [b - a for a, b in zip(*precisions)]

        def expected(weights):
            return 1.5 * sum(
                np.sum(f * (w - p) ** 2)
                for fishers, at in zip((precisions[0], second), places)
                for w, p, f in zip(weights, at, fishers)
            )

        def found(weights):
            ewc.backbone.set_weights(weights)
            return float(ewc.penalty())

        here, there = places[1], make_backbone(seed=7).get_weights()
        self.assertGreater(expected(there) - expected(here), 0.0)
        self.assertAlmostEqual(
            (found(there) - found(here)) / (expected(there) - expected(here)),
            1.0,
            places=3,
        )

    def test_it_keeps_two_arrays_however_many_tasks(self):
        tasks = make_tasks()
        ewc = compiled(baselines.EWC(make_backbone(), 1.0, 5, seed=0))
        learn(ewc, tasks[0])
        network = 4 * make_backbone().count_params()
        before = ewc.capacity().bytes
        self.assertEqual(before["precision"], network)
        self.assertEqual(before["anchor"], network)
        learn(ewc, tasks[1])
        after = ewc.capacity().bytes
        self.assertEqual({**after, "heads": 0}, {**before, "heads": 0})
