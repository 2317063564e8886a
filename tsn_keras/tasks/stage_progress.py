"""How far a consolidation is, as a bar with the time that is left."""

from collections.abc import Sequence

import keras


class StageProgress:
    """Shows the stages of a consolidation, and the rounds of the first.

    Args:
        stages: Names in order. The first comes as often as it has rounds at
            most, and once more for what follows them.
        verbose: As in `keras.Model.fit`.
        callbacks: Those with `on_consolidate_stage` hear of each stage.
    """

    def __init__(
        self, stages: Sequence[str], verbose: int, callbacks: Sequence = ()
    ):
        self._stages = list(stages)
        self._callbacks = [
            c for c in callbacks if hasattr(c, "on_consolidate_stage")
        ]
        self._bar = keras.utils.Progbar(
            len(stages),
            verbose=verbose,
            stateful_metrics=["sparsity"],
            unit_name="stage",
        )

    def end_round(self, number: int, sparsity: float) -> None:
        """Shows that a round has ended."""
        self._show(number, [("sparsity", sparsity)])

    def end(self, stage: str) -> None:
        """Shows that a stage has ended, with all its rounds."""
        last = len(self._stages) - self._stages[::-1].index(stage)
        self._show(last)

    def _show(self, done: int, values: Sequence = ()) -> None:
        self._bar.update(done, values)
        for callback in self._callbacks:
            callback.on_consolidate_stage(done, len(self._stages))
