from absl.testing import parameterized

from tsn_keras.sharing import WarmStart

PLANES = {"a": 0, "b": 1, "c": 0}


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
