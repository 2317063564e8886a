import keras
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
