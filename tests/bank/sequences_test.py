"""Property tests of the bank: whatever its life, it holds what it must."""

import hypothesis
from absl.testing import absltest
from hypothesis.stateful import run_state_machine_as_test

from tests.bank.sequences import BankMachine


class SequencesTest(absltest.TestCase):
    def test_three_hundred_lives(self):
        """10,000 are in docs/reliability.md."""
        run_state_machine_as_test(
            BankMachine,
            settings=hypothesis.settings(
                max_examples=300,
                stateful_step_count=40,
                deadline=None,
                database=None,
                derandomize=True,
                # A failing life is printed as it is: making it short takes
                # minutes.
                phases=[hypothesis.Phase.generate],
                suppress_health_check=list(hypothesis.HealthCheck),
            ),
        )


if __name__ == "__main__":
    absltest.main()
