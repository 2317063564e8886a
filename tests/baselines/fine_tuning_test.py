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


class FineTuningTest(absltest.TestCase):
    def test_it_forgets_and_other_methods_forget_less(self):
        tasks = make_tasks()
        plain = compiled(baselines.FineTuning(make_backbone(6), seed=0))
        learn(plain, tasks[0], epochs=8)
        (before,) = accuracies(plain, tasks[:1])
        learned(plain, tasks[1:], epochs=8)
        after = accuracies(plain, tasks)
        self.assertLess(after[0], before - 0.1)
        self.assertGreater(after[2], 0.9)
        for other in (
            baselines.EWC(make_backbone(6), 100.0, 100, seed=0),
            baselines.ExperienceReplay(make_backbone(6), 80, seed=0),
        ):
            learned(compiled(other), make_tasks(), epochs=8)
            self.assertGreater(
                np.mean(accuracies(other, tasks)), np.mean(after) + 0.05
            )
