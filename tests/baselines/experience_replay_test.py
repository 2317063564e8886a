import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.baselines.small_tasks import (
    PIXELS,
    Dense,
    compiled,
    learn,
    make_backbone,
    make_tasks,
)
from tsn_keras import baselines
from tsn_keras.baselines.experience_replay import draw


class ExperienceReplayTest(parameterized.TestCase):
    @parameterized.parameters((False, 1), (True, 4))
    def test_bytes_of_examples(self, scaled, size):
        tasks = make_tasks(2)
        replay = compiled(
            baselines.ExperienceReplay(make_backbone(), 10, seed=0)
        )
        learn(replay, tasks[0], epochs=1)
        self.assertEqual(replay.capacity().bytes["inputs"], 10 * PIXELS)
        data = tasks[1].train
        if scaled:
            data = data.map(lambda x, y: (0.3 * x, y))
        replay.add_task("b", head=Dense(4))
        replay.fit(data, verbose=0)
        first = next(replay.training_data(data).as_numpy_iterator())[0]
        replay.consolidate()
        stored = replay.capacity().bytes
        self.assertEqual(stored["inputs"], 2 * 10 * PIXELS * size)
        self.assertEqual(stored["labels"], 2 * 10 * 4)
        # Sixteen of the task, and as many of what was kept.
        seen = {row.tobytes() for row in first[16:]}
        known = np.concatenate(
            [x for x, _ in tasks[0].train.as_numpy_iterator()]
        )
        self.assertLen(first, 32)
        self.assertLessEqual(seen, {row.tobytes() for row in known})

    def test_each_example_is_as_likely_as_any_other(self):
        data = tf.data.Dataset.from_tensor_slices(
            (np.arange(40, dtype=np.float32), np.arange(40))
        ).batch(7)
        counts = np.zeros(40)
        for seed in range(200):
            x, y = draw(data, 10, np.random.default_rng(seed))
            np.testing.assert_array_equal(x, y)
            self.assertLen(set(y), 10)
            counts[y] += 1
        self.assertBetween(counts.min(), 25, 50)
        self.assertBetween(counts.max(), 50, 80)
