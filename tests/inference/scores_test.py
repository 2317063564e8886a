"""Tests of the scores that tell tasks apart, and of what they store."""

import keras
import numpy as np
from absl.testing import absltest, parameterized

from tsn_keras.inference import Confidence, Inference, InputMeans


class ConfidenceTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("logits", [[9.0, 0.0, 0.0], [1.0, 0.9, 0.8]]),
        ("probabilities", [[0.98, 0.01, 0.01], [0.4, 0.3, 0.3]]),
        ("one_logit", [[-7.0], [0.5]]),
        ("one_probability", [[0.01], [0.4]]),
        ("several_labels", [[0.99, 0.98], [0.6, 0.4]]),
    )
    def test_sure_answers_score_higher(self, outputs):
        stored = Confidence().learn(None, [np.float32(outputs)])
        score = Confidence().score(stored, None, [np.float32(outputs)])
        for row in (0, 1):
            # One alone is taken for what all are.
            one = [np.float32(outputs[row : row + 1])]
            alone = Confidence().score(stored, None, one)
            self.assertEqual(alone[0], score[row])
        self.assertEqual(score.shape, (2,))
        self.assertGreater(score[0], score[1])

    def test_extremes(self):
        for outputs in ([[1.0, 0.0]], [[1e9, -1e9]], [[0.0]], [[1.0]]):
            outputs = [np.float32(outputs)]
            stored = Confidence().learn(None, outputs)
            found = Confidence().score(stored, None, outputs)
            self.assertTrue(np.isfinite(found).all())

    def test_several_outputs(self):
        sure, unsure = np.float32([[9.0, 0.0]]), np.float32([[2.1, 0.0]])
        found = []
        for outputs in ([unsure], [sure, unsure], [sure]):
            stored = Confidence().learn(None, outputs)
            found += Confidence().score(stored, None, outputs).tolist()
        self.assertEqual(found, sorted(found))


class InputMeansTest(parameterized.TestCase):
    @parameterized.parameters((10, 1024), (10, 3), (7, 7), (1000, 16))
    def test_the_mean_is_nearest(self, size, most):
        rng = np.random.default_rng(0)
        near = rng.normal(size=(50, size)) + np.arange(size) % 3
        far = rng.normal(size=(50, size)) + 1 - np.arange(size) // 2 % 3
        means = InputMeans(most=most)
        stored = means.learn(np.float32(near), None)
        self.assertEqual(stored[0].shape, (min(size, most),))
        scores = [means.score(stored, np.float32(x), None) for x in (near, far)]
        self.assertGreater(scores[0].mean(), scores[1].mean())

    def test_parts_are_means_of_neighbours(self):
        x = np.float32([[1, 3, 5, 7, 20, 40]])
        np.testing.assert_allclose(
            InputMeans(most=3).learn(x, None)[0], [2, 6, 30]
        )

    def test_nests(self):
        x = {"a": np.ones((4, 2, 3)), "b": np.zeros((4, 2))}
        (mean,) = InputMeans().learn(x, None)
        self.assertEqual(mean.tolist(), [1.0] * 6 + [0.0] * 2)

    def test_another_shape(self):
        means = InputMeans()
        stored = means.learn(np.ones((3, 4)), None)
        with self.assertRaisesRegex(ValueError, "5 entries.*learned 4"):
            means.score(stored, np.ones((3, 5)), None)


class ConfigurationTest(parameterized.TestCase):
    @parameterized.parameters(Confidence(), InputMeans(width=3, most=9))
    def test_it_is_saved(self, score):
        saved = keras.saving.serialize_keras_object(score)
        loaded = keras.saving.deserialize_keras_object(saved)
        self.assertIsInstance(loaded, Inference)
        self.assertEqual(loaded.get_config(), score.get_config())


if __name__ == "__main__":
    absltest.main()
