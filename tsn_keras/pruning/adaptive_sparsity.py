"""As sparse as the data bear: the default pruning strategy."""

import dataclasses
import math
from typing import Any

import keras
import numpy as np

from tsn_keras import tfmot
from tsn_keras.data import check_numbers, check_tolerance
from tsn_keras.pruning.masks import TaskMask, largest
from tsn_keras.pruning.strategies import PruningStrategy, check_fraction

# The slots that the first round keeps; each round keeps half of those before.
FIRST_DENSITY = 0.3
ROUNDS = 6
# In how many steps a round comes to its sparsity.
UPDATES = 8
# Where the slots are found, so many of them want room for their codes.
EXPECTED_SPARSITY = 0.9
# The power of the mean squared gradient in the importance; see `FisherPruning`.
FISHER_POWER = 0.25


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class AdaptiveSparsity(PruningStrategy):
    """Finds for each task how few slots its data bear.

    `fit` trains the dense network, as plain Keras does. `consolidate` then
    prunes in rounds, each of which keeps half of the slots. A round trains for
    a while on the data of the last `fit`, at a falling learning rate. In its
    first half slots go step by step, on a cubic schedule of TF Model
    Optimization (Zhu & Gupta, "To prune, or not to prune", 2017). The first
    round whose validated quality is not within tolerance ends the search, or
    the third in a row where validation examples are so few that it may be
    chance. Then a sparsity between that round and the one before is tried.

    The slots of all kernels are ranked together. The score of a slot is the
    part that its squared importance has of those that are no smaller in its
    kernel (LAMP: Lee et al., "Layer-adaptive sparsity for the magnitude-based
    pruning", ICLR 2021), so that small kernels keep more of theirs:

    `score = importance ** 2 / sum(others ** 2 for others >= importance)`

    The importance is that of `FisherPruning` where the optimizer keeps squared
    gradients, else the magnitude.

    Args:
        sparsity: in [0, 1). The part of all slots to leave out, whatever it
            costs. By default it is found.
        tolerance: what pruning may cost, if less than its share of the
            model's `tolerance`.
        effort: how long the rounds train; 1.0 is at most about as long as
            `fit` did.

    Example:

    >>> AdaptiveSparsity(effort=2.0).effort
    2.0
    """

    sparsity: float | None = None
    tolerance: float | None = None
    effort: float = 1.0

    def __post_init__(self):
        check_numbers(effort=self.effort)
        if self.sparsity is not None:
            self.sparsity = check_fraction("sparsity", self.sparsity)
        check_tolerance(self.tolerance, or_none=True)
        if not 0.0 < self.effort < math.inf:
            raise ValueError(
                "`effort` must be above 0 and finite. Received: "
                f"effort={self.effort}"
            )

    def target(self, path: str) -> float:
        """Returns the sparsity that a kernel should have room for."""
        return EXPECTED_SPARSITY if self.sparsity is None else self.sparsity

    def sparsities(self) -> list[float]:
        """Returns the sparsities that the rounds end with, in order."""
        found = [1.0 - FIRST_DENSITY / 2**number for number in range(ROUNDS)]
        if self.sparsity is None:
            return found
        return [s for s in found if s < self.sparsity] + [self.sparsity]

    def way(self, before: float, sparsity: float) -> list[float]:
        """Returns the sparsities on the way from one round's to the next."""
        schedule = tfmot.cubic_schedule(sparsity, 0, UPDATES, 1, before)
        steps = range(1, UPDATES + 1)
        return [tfmot.schedule_sparsity(schedule, step) for step in steps]

    def importance(self, mask: TaskMask) -> np.ndarray:
        magnitudes = np.abs(mask.values())
        moment = mask.second_moment and mask.second_moment()
        if moment is None or not moment.any():
            return magnitudes
        return magnitudes * np.power(moment, FISHER_POWER)

    def choose(self, masks: list[TaskMask], sparsity: float) -> None:
        """Keeps the best slots of all kernels together."""
        own = rank_together(
            [self.importance(mask) for mask in masks],
            [mask.available for mask in masks],
            sparsity,
        )
        for mask, chosen in zip(masks, own):
            mask.take(chosen)
            mask.apply()

    def get_config(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AdaptiveSparsity":
        return cls(**config)


def rank_together(
    importances: list[np.ndarray], available: list[np.ndarray], sparsity: float
) -> list[np.ndarray]:
    """Marks the slots of all kernels that a common sparsity keeps.

    At least one of each kernel is kept that has one available.

    Args:
        importances: One array a kernel, nowhere negative.
        available: Bool arrays of the same shapes.
        sparsity: The part of all slots to leave out.

    >>> rank_together(
    ...     [np.array([1.0, 2.0, 3.0, 4.0]), np.array([1e3, 1e3])],
    ...     [np.ones(4, bool), np.ones(2, bool)],
    ...     sparsity=0.5,
    ... )
    [array([False, False, False,  True]), array([ True,  True])]
    """
    scores = [_layer_adaptive(i, a) for i, a in zip(importances, available)]
    size = sum(array.size for array in scores)
    places = sum(np.count_nonzero(array) for array in available)
    count = min(max(1, round((1.0 - sparsity) * size)), places)
    if not count:
        return [np.zeros(array.shape, bool) for array in available]
    ranked = np.concatenate([array.reshape(-1) for array in scores])
    free = np.concatenate([array.reshape(-1) for array in available])
    kept = largest(ranked, count, free)
    ends = np.cumsum([array.size for array in scores])[:-1]
    parts = np.split(kept, ends)
    parts = [p.reshape(a.shape) for p, a in zip(parts, available)]
    return [
        part if part.any() or not free.any() else largest(score, 1, free)
        for part, score, free in zip(parts, scores, available)
    ]


def _layer_adaptive(
    importance: np.ndarray, available: np.ndarray
) -> np.ndarray:
    """Returns the scores of a kernel's slots; 0 where none is available."""
    values = np.where(available, importance, 0.0)
    squares = np.square(values.reshape(-1), dtype=float)
    order = np.argsort(squares, kind="stable")
    ascending = squares[order]
    # The sum of all that are no smaller, its own included.
    sums = np.cumsum(ascending[::-1])[::-1]
    scores = np.empty_like(squares)
    scores[order] = ascending / np.maximum(sums, np.finfo(float).tiny)
    return scores.reshape(importance.shape)
