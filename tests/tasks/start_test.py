"""Tests of what happens before the first step of a task."""

import keras
import tensorflow as tf
from absl.testing import absltest

from tests.digits_tasks import begin, consolidate, make_model, mlp
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.sharing import ActivationSimilarity, Never, WarmStart

SAMPLE = 37


class CountsSamples(keras.layers.Layer):
    """Counts how often a sample of activations is taken."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = 0

    def call(self, inputs):
        is_tensor = isinstance(inputs, tf.Tensor)
        if is_tensor and not tf.is_symbolic_tensor(inputs):
            self.seen += len(inputs) == SAMPLE
        return inputs


def learn_many(sharing, count):
    """Returns a model, and how many subnetworks ran at each start."""
    counter, runs = CountsSamples(), []
    quick = AdaptiveCodebook(0.9, 2, 2, fine_tune_steps=0)
    model = make_model(mlp(16, extra=[counter]), None, quick)
    for number in range(count):
        model.sharing = sharing[min(number, len(sharing) - 1)]
        before = counter.seen
        begin(model, number, epochs=1)
        runs.append(counter.seen - before)
        consolidate(model, number)
    return model, runs


class CandidatesTest(absltest.TestCase):
    def test_a_bounded_number_of_subnetworks_runs(self):
        sharing = WarmStart(sample_size=SAMPLE, candidates=2)
        _, runs = learn_many([sharing], 5)
        self.assertEqual(runs, [0, 1, 2, 2, 2])

    def test_tasks_without_statistics_are_not_run(self):
        sharing = ActivationSimilarity(sample_size=SAMPLE, doubt=0.0)
        model, runs = learn_many([Never(), sharing], 3)
        self.assertEqual(runs, [0, 0, 1])
        self.assertEqual(model.report("task 1").divergence, float("inf"))
