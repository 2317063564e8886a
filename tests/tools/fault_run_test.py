"""Tests of `tools.fault_run`: that it finds what is bad, and that it runs."""

import pathlib
import tempfile
import time
from unittest import mock

from absl.testing import absltest, parameterized

from tools.fault_run import damage, lives
from tools.fault_run.outcomes import Outcomes
from tsn_keras.bank import file_format


def answer():
    return 1


def other_answer():
    return 2


def refuse():
    raise ValueError("damaged")


def break_down():
    raise KeyError("of nobody's")


class OutcomesTest(parameterized.TestCase):
    @parameterized.parameters(
        (answer, "the same", 0),
        (refuse, "refused", 0),
        (other_answer, "changed", 1),
        (break_down, "other error", 1),
    )
    def test_what_is_bad(self, read, outcome, bad):
        outcomes = Outcomes("any")
        outcomes.try_reading(read, 1, (ValueError,), "here")
        line = outcomes.to_dict(1.0)
        self.assertEqual(line["outcomes"], {outcome: 1})
        self.assertEqual((line["bad"], len(line["examples"])), (bad, bad))

    def test_a_hang(self):
        outcomes = Outcomes("any")
        with mock.patch.object(time, "monotonic", side_effect=[0.0, 3.0]):
            outcomes.try_reading(answer, 1, (), "here")
        self.assertEqual(outcomes.to_dict(1.0)["outcomes"], {"hang": 1})


class PartsTest(absltest.TestCase):
    def test_a_bank(self):
        outcomes = Outcomes("bank")
        damage.bank(outcomes, 0.05)
        line = outcomes.to_dict(1.0)
        self.assertEqual(line["bad"], 0, line["examples"])
        self.assertGreater(line["trials"], 50)

    def test_a_bank_without_a_digest(self):
        """It would notice."""
        outcomes = Outcomes("bank")
        with mock.patch.object(file_format, "digest", lambda *_: bytes(32)):
            damage.bank(outcomes, 0.2)
        self.assertGreater(outcomes.to_dict(1.0)["bad"], 0)

    def test_lives(self):
        outcomes = Outcomes("banks")
        lives.banks(outcomes, 0.002)
        self.assertEqual(outcomes.to_dict(1.0)["bad"], 0)

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            for part in (damage.task_file, damage.archives):
                outcomes = Outcomes("files")
                part(outcomes, 0.02, pathlib.Path(folder))
                line = outcomes.to_dict(1.0)
                self.assertEqual(line["bad"], 0, line["examples"])
                self.assertGreater(line["trials"], 10)


if __name__ == "__main__":
    absltest.main()
