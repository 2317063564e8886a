import types

from absl.testing import absltest

from tests.baselines.small_tasks import compiled, make_backbone, make_tasks
from tsn_keras import baselines


class StrengthTest(absltest.TestCase):
    def make(self, strength):
        return compiled(baselines.EWC(make_backbone(6), strength, 100, seed=0))

    def test_the_strength_that_validates_best(self):
        strength, found = baselines.choose_strength(
            self.make, make_tasks(4), [0.0, 100.0], epochs=8
        )
        self.assertEqual(strength, 100.0)
        self.assertGreater(found[100.0], found[0.0])

    def test_one_that_is_about_as_good_is_taken_first(self):
        strength, _ = baselines.choose_strength(
            self.make, make_tasks(1), [0.0, 100.0], tolerance=1.0
        )
        self.assertEqual(strength, 0.0)

    def test_no_test_data_are_read(self):
        tasks = [
            types.SimpleNamespace(
                name=task.name,
                train=task.train,
                validation=task.validation,
                num_classes=task.num_classes,
            )
            for task in make_tasks(1)
        ]
        strength, _ = baselines.choose_strength(self.make, tasks, [1.0])
        self.assertEqual(strength, 1.0)
