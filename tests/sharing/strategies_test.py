import keras
import numpy as np
from absl.testing import parameterized

from tsn_keras.sharing import (
    ActivationSimilarity,
    Always,
    Never,
    PlaneChoice,
    Sharing,
    WarmStart,
)

PLANES = {"a": 0, "b": 1, "c": 0}


class StrategiesTest(parameterized.TestCase):
    def test_never(self):
        self.assertEqual(Never().choose(PLANES, {}), PlaneChoice(None))
        self.assertFalse(Never().needs_statistics)

    def test_always(self):
        first = Always().choose({}, {})
        self.assertEqual(first, PlaneChoice(None, reason="first"))
        self.assertEqual(Always().choose({"a": 0, "b": 3}, {}).plane, 3)
        self.assertEqual(
            Always(own_fraction=0.5, depth=0.25).choose(PLANES, {}),
            PlaneChoice(0, "c", own_fraction=0.5, depth=0.25),
        )
        self.assertFalse(Always().needs_statistics)

    def test_a_reason_that_no_report_knows(self):
        with self.assertRaisesRegex(ValueError, "'trial'.*reason='because'"):
            PlaneChoice(None, reason="because")

    @parameterized.parameters(0.0, 1.1, float("nan"))
    def test_bad_depth(self, depth):
        with self.assertRaisesRegex(ValueError, f"`depth`.*depth={depth}"):
            Always(depth=depth)
        # That of a user's strategy, too.
        for name in ("depth", "trial_depth"):
            with self.assertRaisesRegex(ValueError, f"`{name}`.*={depth}"):
                PlaneChoice(0, "a", **{name: depth})

    @parameterized.parameters((0.1, 1), (0.5, 3), (0.9, 5), (1.0, 6))
    def test_num_joined(self, depth, count):
        self.assertEqual(PlaneChoice(0, "a", depth=depth).num_joined(6), count)
        self.assertEqual(PlaneChoice(None, "a", depth=depth).num_joined(6), 0)

    @parameterized.parameters(
        (Never(),),
        (Always(depth=0.5),),
        (ActivationSimilarity(0.3, 64),),
        (WarmStart(0.3, 64, shrink=0.5, latest=True),),
    )
    def test_config_round_trip(self, sharing):
        again = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(sharing)
        )
        self.assertIs(type(again), type(sharing))
        self.assertEqual(vars(again), vars(sharing))
        self.assertIsInstance(again, Sharing)
        self.assertEqual(again.get_config(), sharing.get_config())


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


class WarmStartTest(parameterized.TestCase):
    @parameterized.parameters(
        ({}, None, 0.0, "first"),
        ({"a": 0.4, "b": 0.2}, "b", 0.3, "warm"),
        ({"a": 1.4, "b": 1.2}, "b", 0.0, "dissimilar"),
    )
    def test_from_the_nearest(self, divergences, nearest, warm_start, reason):
        choice = WarmStart().choose(PLANES, divergences)
        self.assertIsNone(choice.plane)
        self.assertEqual(choice.nearest, nearest)
        self.assertEqual(choice.warm_start, warm_start)
        self.assertEqual(choice.reason, reason)

    @parameterized.parameters(
        ({"a": 0.2, "b": 0.4, "c": 1.2}, "b", "warm"),
        ({"a": 1.2, "b": 1.4}, "a", "dissimilar"),
    )
    def test_from_the_latest(self, divergences, nearest, reason):
        choice = WarmStart(latest=True).choose(PLANES, divergences)
        self.assertEqual((choice.nearest, choice.reason), (nearest, reason))

    @parameterized.parameters(0.0, -0.5, 1.5, float("nan"))
    def test_bad_shrink(self, shrink):
        with self.assertRaisesRegex(ValueError, f"shrink={shrink}"):
            WarmStart(shrink=shrink)
