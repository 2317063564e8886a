import json

import keras
from absl.testing import parameterized

from tsn_keras.quantization import AdaptiveCodebook


class AdaptiveCodebookTest(parameterized.TestCase):
    @parameterized.parameters(
        ({"tolerance": -0.1}, "`tolerance`.*tolerance=-0.1"),
        ({"tolerance": 1.0}, "`tolerance`.*tolerance=1.0"),
        ({"tolerance": float("nan")}, "`tolerance`.*tolerance=nan"),
        ({"min_width": 0}, "min_width=0, max_width=8"),
        ({"max_width": 9}, "min_width=1, max_width=9"),
        ({"min_width": 5, "max_width": 4}, "min_width=5, max_width=4"),
        ({"codebook": "cubic"}, "'clustered', 'linear'.*codebook='cubic'"),
        ({"fine_tune_steps": -1}, "fine_tune_steps=-1"),
    )
    def test_bad_values(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            AdaptiveCodebook(**arguments)

    @parameterized.parameters(
        (None, 8440, 704),
        (None, 5, 1),
        (None, 50_000, 1000),
        (None, 0, 0),
        (7, 8440, 7),
        (0, 8440, 0),
    )
    def test_tuning_steps(self, given, training_steps, expected):
        strategy = AdaptiveCodebook(fine_tune_steps=given)
        self.assertEqual(strategy.tuning_steps(training_steps), expected)

    @parameterized.parameters(
        {},
        {
            "tolerance": 0.01,
            "min_width": 2,
            "max_width": 5,
            "codebook": "linear",
            "fine_tune_steps": 0,
            "learning_rate": 0.1,
        },
    )
    def test_config_round_trip(self, **arguments):
        strategy = AdaptiveCodebook(**arguments)
        text = json.dumps(keras.saving.serialize_keras_object(strategy))
        again = keras.saving.deserialize_keras_object(json.loads(text))
        self.assertIsInstance(again, AdaptiveCodebook)
        self.assertEqual(again.get_config(), strategy.get_config())
        for name, value in arguments.items():
            self.assertEqual(getattr(again, name), value)
