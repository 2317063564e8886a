"""Tests of flags that take several words."""

from absl import flags
from absl.testing import flagsaver, parameterized

from examples.choices import define_choices

define_choices("fruit", ["fig"], ["fig", "plum", "pear"], "What to eat.")


class ChoicesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.flag = flags.FLAGS["fruit"]
        self.enterContext(flagsaver.flagsaver())

    def test_help_and_default(self):
        self.assertEqual(self.flag.value, ["fig"])
        self.assertIn("What to eat. Any of: fig, plum, pear.", self.flag.help)

    def test_takes_several(self):
        self.enterContext(flagsaver.flagsaver(fruit=["plum", "fig"]))
        self.assertEqual(self.flag.value, ["plum", "fig"])

    @parameterized.parameters([["stone"]], [["fig", "stone"]], [[]])
    def test_other_words(self, words):
        with self.assertRaisesRegex(
            flags.IllegalFlagValueError,
            "--fruit takes any of fig, plum, pear, with commas between",
        ):
            self.enterContext(flagsaver.flagsaver(fruit=words))
