"""Which slots a task keeps: the pruning strategies."""

from typing import Any

import keras
import numpy as np

from tsn_keras.pruning.strategies import Pruning
from tsn_keras.pruning.task_masks import TaskMask


@keras.saving.register_keras_serializable(package="tsn_keras")
class MagnitudePruning(Pruning):
    """Keeps the slots with the largest absolute values.

    A slot once pruned keeps its last trained value and may come back.

    Takes the arguments of `Pruning`.

    Example:

    >>> pruning = MagnitudePruning(sparsity={"dense_1": 0.5, ".*": 0.9})
    >>> pruning.target("mlp/dense/kernel")
    0.9
    """

    def importance(self, mask: TaskMask) -> np.ndarray:
        return mask.values()


@keras.saving.register_keras_serializable(package="tsn_keras")
class ScorePruning(Pruning):
    """Keeps the slots with the highest learned scores.

    Each slot has a trainable score beside its weight; the gradient of the
    mask is passed straight through to the scores (WSN: Kang et al., "Forget-
    free continual learning with winning subnetworks", ICML 2022). The mask
    follows the scores when the schedule updates it.

    The optimizer moves twice as many variables in steps in which scores
    learn. Hence they do in a few steps only.

    Args:
        score_frequency: int, steps from one in which the scores learn to the
            next; 1 for all steps.
        **kwargs: As `Pruning`.
    """

    learned_scores = True

    def __init__(self, *args, score_frequency: int = 8, **kwargs):
        super().__init__(*args, **kwargs)
        if score_frequency < 1:
            raise ValueError(
                "`score_frequency` must be at least 1 step. Received: "
                f"score_frequency={score_frequency}"
            )
        self.score_frequency = score_frequency

    def importance(self, mask: TaskMask) -> np.ndarray:
        # `largest` ranks absolute values; scores below zero are the lowest.
        scores = np.asarray(mask.kernel.scores)
        return scores - scores.min()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "score_frequency": self.score_frequency}


@keras.saving.register_keras_serializable(package="tsn_keras")
class FisherPruning(Pruning):
    """Keeps the slots whose weights matter most to the loss.

    A weight is ranked by its magnitude and the mean squared gradient `v`
    that the optimizer keeps of it, a diagonal of the Fisher information:

    `importance = |w| * v ** power`

    With `power=0.5` that is the root of the loss that removing the weight is
    expected to cost (LeCun et al., "Optimal brain damage", 1990; Theis et
    al., "Faster gaze prediction with dense networks and Fisher pruning",
    2018); with `power=0` it is the magnitude. Between the two it is better
    than either where few weights are left. Needs an optimizer that keeps
    squared gradients: Adam, AdamW, Nadam, Lamb or RMSprop.

    Args:
        power: float in [0, 1].
        **kwargs: As `Pruning`.
    """

    needs_second_moments = True

    def __init__(self, *args, power: float = 0.25, **kwargs):
        super().__init__(*args, **kwargs)
        if not 0.0 <= power <= 1.0:
            raise ValueError(
                f"`power` must be in [0, 1]. Received: power={power}"
            )
        self.power = power

    def importance(self, mask: TaskMask) -> np.ndarray:
        magnitudes = np.abs(mask.values())
        moment = mask.second_moment()
        if not moment.any():
            return magnitudes
        return magnitudes * np.power(moment, self.power)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}
