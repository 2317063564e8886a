import numpy as np
import tensorflow as tf
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
from tsn_keras.baselines.joint_training import mixed


class JointTrainingTest(absltest.TestCase):
    def test_one_network_learns_all_at_the_end(self):
        tasks = make_tasks()
        backbone = make_backbone(48)
        untrained = backbone.get_weights()
        method = compiled(baselines.JointTraining(backbone, 3, seed=0))
        learned(method, tasks[:2])
        for one, other in zip(untrained, backbone.get_weights()):
            np.testing.assert_array_equal(one, other)
        learn(method, tasks[2], epochs=8)
        self.assertGreater(min(accuracies(method, tasks)), 0.85)
        self.assertLess(method.capacity().fraction, 1.5)

    def test_batches_mix_the_tasks(self):
        datasets = [
            tf.data.Dataset.from_tensor_slices(
                (np.full((40, 2), number), np.full(40, number))
            ).batch(8)
            for number in range(3)
        ]
        batches = [y for _, y in mixed(datasets, 0).as_numpy_iterator()]
        everything = np.concatenate(batches)
        np.testing.assert_array_equal(np.bincount(everything), [40, 40, 40])
        self.assertEqual({len(batch) for batch in batches}, {8})
        several = [len(np.unique(batch)) > 1 for batch in batches]
        self.assertGreater(np.mean(several), 0.4)
        x, y = next(mixed(datasets, 0).as_numpy_iterator())
        np.testing.assert_array_equal(x[:, 0], y)

    def test_it_does_not_go_on_without_the_data(self):
        tasks = make_tasks(2)
        method = compiled(baselines.JointTraining(make_backbone(), 2))
        learn(method, tasks[0])
        again = baselines.JointTraining.from_config(method.get_config())
        compiled(again)
        with self.assertRaisesRegex(ValueError, "data of 1 earlier tasks"):
            learn(again, tasks[1])
