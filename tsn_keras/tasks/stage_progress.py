"""How far a consolidation is, as a bar with the time that is left."""

from collections.abc import Sequence

import keras


class StageProgress:
    """Shows the stages of a consolidation, and the rounds of the first.

    Args:
        stages: Names in order. The first comes as often as it has rounds at
            most, and once more for what follows them.
        verbose: As in `keras.Model.fit`.
    """

    def __init__(self, stages: Sequence[str], verbose: int):
        self._stages = list(stages)
        self._bar = keras.utils.Progbar(
            len(stages),
            verbose=verbose,
            stateful_metrics=["sparsity"],
            unit_name="stage",
        )

    def end_round(self, number: int, sparsity: float) -> None:
        """Shows that a round has ended."""
        self._bar.update(number, [("sparsity", sparsity)])

    def end(self, stage: str) -> None:
        """Shows that a stage has ended, with all its rounds."""
        last = len(self._stages) - self._stages[::-1].index(stage)
        self._bar.update(last)
