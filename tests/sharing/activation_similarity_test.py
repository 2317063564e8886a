import numpy as np
from absl.testing import parameterized

from tsn_keras.sharing import ActivationSimilarity, PlaneChoice

PLANES = {"a": 0, "b": 1, "c": 0}
DIVERGENCES = {"a": 0.5, "b": 0.02, "c": 0.3}


class ActivationSimilarityTest(parameterized.TestCase):
    def test_joins_the_nearest(self):
        sharing = ActivationSimilarity(threshold=0.1)
        self.assertTrue(sharing.needs_statistics)
        choice = sharing.choose(PLANES, DIVERGENCES)
        self.assertEqual(
            (choice.plane, choice.nearest, choice.divergence), (1, "b", 0.02)
        )
        self.assertEqual((choice.reason, choice.trial_steps), ("similar", 200))
        self.assertEqual(choice.own_fraction, sharing.own_fraction)

    @parameterized.parameters(0.0, 0.01, 0.02)
    def test_under_the_threshold_only(self, threshold):
        sharing = ActivationSimilarity(threshold=threshold, doubt=0.0)
        self.assertEqual(
            sharing.choose(PLANES, DIVERGENCES),
            PlaneChoice(None, "b", 0.02, reason="dissimilar"),
        )

    @parameterized.parameters((0.01, 0.03, True), (0.01, 0.02, False))
    def test_in_doubt_there_is_a_trial(self, threshold, doubt, doubtful):
        sharing = ActivationSimilarity(threshold, doubt=doubt, trial_steps=7)
        choice = sharing.choose(PLANES, DIVERGENCES)
        self.assertEqual(choice.doubtful, doubtful)
        self.assertEqual(choice.trial_steps, 7 * doubtful)

    def test_without_limit(self):
        sharing = ActivationSimilarity(threshold=float("inf"))
        choice = sharing.choose({"a": 2}, {"a": 1e9})
        self.assertEqual((choice.plane, choice.doubtful), (2, False))
        # Infinite where nothing can be compared.
        self.assertIsNone(sharing.choose({"a": 2}, {"a": float("inf")}).plane)

    def test_full_planes(self):
        sharing = ActivationSimilarity(
            threshold=0.1, doubt=0.3, tasks_per_plane=2
        )
        planes = {"a": 0, "b": 0, "c": 1}
        # The nearest task's plane is full, and another similar task's is not.
        choice = sharing.choose(planes, {"a": 0.01, "b": 0.03, "c": 0.05})
        self.assertEqual((choice.plane, choice.nearest), (1, "c"))
        self.assertEqual(choice.reason, "similar")
        choice = sharing.choose(planes, {"a": 0.01, "b": 0.03, "c": 0.2})
        self.assertEqual((choice.plane, choice.reason), (1, "trial"))
        full = sharing.choose(planes, {"a": 0.01, "b": 0.03, "c": 0.5})
        self.assertEqual(full, PlaneChoice(None, "a", 0.01, reason="full"))

    @parameterized.parameters(1, 2, 5)
    def test_no_plane_gets_more_tasks(self, limit):
        sharing = ActivationSimilarity(tasks_per_plane=limit)
        planes = {}
        for number in range(12):
            choice = sharing.choose(planes, dict.fromkeys(planes, 0.0))
            new = max(planes.values(), default=-1) + 1
            plane = new if choice.plane is None else choice.plane
            planes[f"task {number}"] = plane
        counts = np.bincount(list(planes.values()))
        self.assertEqual(counts.max(), limit)
        self.assertLen(counts, -(-12 // limit))

    def test_first_task(self):
        first = ActivationSimilarity().choose({}, {})
        self.assertEqual(first, PlaneChoice(None, reason="first"))

    @parameterized.parameters(-0.1, float("nan"))
    def test_bad_threshold(self, threshold):
        with self.assertRaisesRegex(ValueError, f"threshold={threshold}"):
            ActivationSimilarity(threshold=threshold)

    @parameterized.parameters(
        ({"doubt": -1.0}, "doubt=-1.0"),
        ({"trial_steps": 0}, "trial_steps=0"),
        ({"own_fraction": 0.0}, "own_fraction=0.0"),
        ({"own_fraction": 1.5}, "own_fraction=1.5"),
        ({"tasks_per_plane": 0}, "tasks_per_plane=0"),
        ({"trial_depth": 0.0}, "trial_depth=0.0"),
    )
    def test_bad_arguments(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            ActivationSimilarity(**arguments)

    def test_bad_sample_size(self):
        with self.assertRaisesRegex(ValueError, "sample_size=1"):
            ActivationSimilarity(sample_size=1)
