"""Pruning on after training, within a tolerance on validated quality."""

from collections.abc import Callable

import numpy as np

from tsn_keras.pruning.masks import largest

SMALLEST_FRACTION = 0.1


def refine(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    quality: Callable[[list[np.ndarray]], float],
    tolerance: float,
    steps: int = 4,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns kernels and own slots without weights that hardly matter.

    For one kernel after the other, largest first, bisection finds the number
    of own slots, between a tenth of what training kept and all of it. The
    smallest weights are removed. A removal counts only if the quality with all
    removals so far is at most `tolerance` below the quality at the start.
    `quality`, a function of all effective kernels, is called at most `steps`
    times for each of them.
    """
    kernels, own = list(kernels), list(own)
    acceptable = quality(kernels) - tolerance
    for index in np.argsort([-mask.sum() for mask in own]):
        values, mask = kernels[index], own[index]
        most = int(mask.sum())
        too_few = max(1, int(SMALLEST_FRACTION * most)) - 1
        worthwhile = max(2, most // 100)
        for _ in range(steps):
            if most - too_few < worthwhile:
                break
            kept = (too_few + most) // 2
            trial = largest(values, kept, mask)
            candidate = [*kernels]
            candidate[index] = np.where(mask & ~trial, np.float32(0), values)
            if quality(candidate) >= acceptable:
                most, kernels, own[index] = kept, candidate, trial
            else:
                too_few = kept
    return kernels, own
