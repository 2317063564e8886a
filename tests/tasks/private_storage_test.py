"""Tests of what decides how few bits private variables get."""

import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import VALIDATION, begin, digits, make_model
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.tasks.consolidation import RAISED_LOSS, PrivateStorage
from tsn_keras.tasks.tolerance import Tolerance

RNG = np.random.default_rng(0)
VALUES = [
    RNG.normal(size=(40, 10)).astype(np.float32),
    RNG.normal(size=(100,)).astype(np.float32),
]


class ChanceQuality:
    """A loss that rises with what coding changes, and an accuracy by chance.

    Accuracies are whole numbers of `num_examples`, `most_lost` of them lost at
    most.
    """

    def __init__(self, seed: int, num_examples: int, most_lost: int):
        self._rng = np.random.default_rng(seed)
        self._num_examples = num_examples
        self._most_lost = most_lost
        self._known: tuple[float, float] | None = 0.9, 0.3
        self.values = VALUES

    @property
    def loss(self) -> float:
        return self._known[1]

    def __call__(self, kernels) -> float:
        if self._known is None:
            error = max(
                np.abs(value - true).max()
                for value, true in zip(self.values, VALUES)
            )
            lost = self._rng.integers(0, self._most_lost + 1) if error else 0
            self._known = 0.9 - lost / self._num_examples, 0.3 + 0.1 * error
        return self._known[0]

    def private_values(self):
        return self.values

    def install_private(self, values):
        self.values, self._known = values, None

    def put_back(self, kernels, private, quality, loss):
        self.values, self._known = private, (quality, loss)


def stored(quality, num_examples, tolerance=0.005, dense=0.9):
    """Runs the search for a task whose dense network was that good."""
    allowed = Tolerance(tolerance, dense, False, 0.3, num_examples)
    return PrivateStorage(quality, [], allowed).run()


class PrivateStorageTest(parameterized.TestCase):
    @parameterized.parameters(*range(5))
    def test_chance_does_not_decide(self, seed):
        """Not where less than one example may be lost, and none is kept."""
        quality = ChanceQuality(seed, num_examples=100, most_lost=9)
        codes = stored(quality, 100, dense=0.95)
        self.assertLessEqual(quality.loss, (1 + RAISED_LOSS) * 0.3)
        smooth = ChanceQuality(seed, num_examples=100, most_lost=0)
        expected = stored(smooth, 100, dense=0.95)
        widths = [code.width for code in codes]
        self.assertEqual(widths, [code.width for code in expected])
        self.assertLess(max(widths), 16)
        for value, code in zip(quality.values, codes):
            np.testing.assert_array_equal(value, code.decode())

    @parameterized.parameters(*range(5))
    def test_what_was_promised_is_kept_but_for_one_example(self, seed):
        quality = ChanceQuality(seed, num_examples=100, most_lost=3)
        stored(quality, 100)
        self.assertGreaterEqual(quality([]), 0.9 - 1.001 / 100)

    @parameterized.parameters(0.04, 0.4)
    def test_a_share_of_the_tolerance(self, tolerance):
        """Where more than an example may be lost, the quality decides."""
        quality = ChanceQuality(0, num_examples=1000, most_lost=400)
        stored(quality, 1000, tolerance, dense=0.9)
        self.assertGreaterEqual(quality([]), 0.9 - tolerance / 4)

    def test_a_model_keeps_its_loss(self):
        model = make_model(
            quantization=AdaptiveCodebook(0.1, 8, 8, fine_tune_steps=0)
        )
        begin(model, epochs=8)
        x, y = digits(0, VALIDATION)
        few = x[:20], y[:20]
        before = model.evaluate(*few, verbose=0, return_dict=True)["loss"]
        model.consolidate(few, verbose=0)
        after = model.evaluate(*few, verbose=0, return_dict=True)["loss"]
        self.assertLess(after, 1.04 * before)
        widths = {code.width for code in model.bank["task 0"].private}
        self.assertLess(max(widths), 16)
