"""Property tests of the bank: whatever its life, it holds what it must."""

from absl.testing import absltest

from tests.bank.sequences import run_lives


class SequencesTest(absltest.TestCase):
    def test_three_hundred_lives(self):
        """10,000 are in docs/reliability.md."""
        run_lives(300)


if __name__ == "__main__":
    absltest.main()
