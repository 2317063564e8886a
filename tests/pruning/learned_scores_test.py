"""Scores learn in some steps only, and every other step leaves them alone."""

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tsn_keras.pruning import ScorePruning

STEPS = 12


def make_model(**arguments):
    backbone = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(6, activation="relu")]
    )
    pruning = ScorePruning(0.5, score_frequency=4)
    model = tsn_keras.ContinualModel(backbone, pruning=pruning, sharing=None)
    model.compile("adam", "mse", **arguments)
    model.add_task("a", keras.layers.Dense(2))
    return model


class Watch(keras.callbacks.Callback):
    """Keeps the scores and weights of the kernel after each batch."""

    def __init__(self):
        super().__init__()
        self.scores, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        (kernel,) = self.model.switch.kernels
        self.scores.append(np.array(kernel.scores))
        self.weights.append(np.array(kernel.kernel))


def changes(arrays):
    pairs = zip(arrays, arrays[1:])
    return [number for number, (a, b) in enumerate(pairs, 1) if (a != b).any()]


class LearnedScoresTest(parameterized.TestCase):
    def fit(self, model):
        random = np.random.default_rng(0)
        x = random.normal(size=(8 * STEPS, 8)).astype(np.float32)
        y = random.normal(size=(8 * STEPS, 2)).astype(np.float32)
        watch = Watch()
        model.fit(x, y, batch_size=8, callbacks=[watch], verbose=0)
        return watch

    @parameterized.parameters(False, True)
    def test_every_so_many_steps(self, jit_compile):
        watch = self.fit(make_model(jit_compile=jit_compile))
        self.assertEqual(changes(watch.scores), [4, 8])
        self.assertEqual(changes(watch.weights), list(range(1, STEPS)))

    def test_in_groups_of_steps(self):
        model = make_model(steps_per_execution=2)
        watch = self.fit(model)
        # The groups that begin with steps 4 and 8, of steps 0, 2, ..., 10.
        self.assertEqual(changes(watch.scores), [2, 4])

    def test_the_scores_stay_trainable(self):
        model = make_model()
        (kernel,) = model.switch.kernels
        self.fit(model)
        self.assertTrue(kernel.learns_scores)
        before = np.array(kernel.scores)
        model.train_on_batch(np.ones((8, 8), "f"), np.ones((8, 2), "f"))
        self.assertTrue((np.array(kernel.scores) != before).any())

    def test_frozen_scores_stay_frozen(self):
        model = make_model()
        (kernel,) = model.switch.kernels
        self.fit(model)
        kernel.learns_scores = False
        self.fit(model)
        self.assertFalse(kernel.learns_scores)

    def test_bad_frequency(self):
        with self.assertRaisesRegex(ValueError, "score_frequency=0"):
            ScorePruning(score_frequency=0)
        config = ScorePruning(score_frequency=3).get_config()
        self.assertEqual(ScorePruning.from_config(config).score_frequency, 3)
