"""Methods of others by the strategies of a `ContinualModel`."""

from typing import Any

import keras

from tsn_keras import tfmot
from tsn_keras.continual_model import ContinualModel
from tsn_keras.data import check_numbers
from tsn_keras.pruning import MagnitudePruning, ScorePruning
from tsn_keras.sharing import Always, Never

# Steps between two updates of a mask from its scores.
UPDATE = 10


def packnet(
    backbone: keras.Model, density: float = 0.1, **kwargs: Any
) -> ContinualModel:
    """Makes a model that learns as PackNet does.

    Each task uses the weights of all earlier tasks, frozen, and as many free
    ones; those of the smallest magnitude are then left free for later tasks,
    and the others are trained on. Weights stay float32. The mask goes sparse in
    training and not at once after it, and a new task's free weights start from
    zero.

    Source: Mallya and Lazebnik, "PackNet: adding multiple tasks to a single
    network by iterative pruning", 2018.

    Args:
        backbone: As of `ContinualModel`, and so are `kwargs`.
        density: The part of all weights that each task adds. With `1 / T` all
            are in use after T tasks.

    Example:

    >>> backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> packnet(backbone, density=0.25).pruning.sparsity
    0.75
    """
    _check_density(density)
    return ContinualModel(
        backbone,
        pruning=MagnitudePruning(1.0 - density, end=0.5),
        quantization=None,
        sharing=Always(own_fraction=1.0),
        **kwargs,
    )


def wsn(
    backbone: keras.Model, density: float = 0.1, **kwargs: Any
) -> ContinualModel:
    """Makes a model that learns as WSN does, but reuses no weights.

    Each task trains a subnetwork of fixed density, from the first update of its
    mask on, after ten steps. Its weights are those with the highest scores,
    which are learned with them by a gradient that is passed straight through
    the mask. Weights stay float32. In WSN masks may contain weights of earlier
    tasks, frozen; here each task has weights of its own, so that there is room
    for `1 / density` tasks.

    Source: Kang et al., "Forget-free continual learning with winning
    subnetworks", 2022.

    Args:
        backbone: As of `ContinualModel`, and so are `kwargs`.
        density: The part of all weights that a task uses.

    Example:

    >>> backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> round(wsn(backbone, density=0.25).pruning.target("kernel"), 4)
    0.75
    """
    _check_density(density)
    pruning = ScorePruning(
        schedule=tfmot.constant_schedule(1.0 - density, UPDATE),
        frequency=UPDATE,
        score_frequency=1,
    )
    return ContinualModel(
        backbone, pruning=pruning, quantization=None, sharing=Never(), **kwargs
    )


def _check_density(density: float) -> None:
    check_numbers(density=density)
    if not 0.0 < density <= 1.0:
        raise ValueError(
            "`density` must be in (0, 1], the part of all weights that a task "
            f"gets. Received: density={density}. Pass for example 0.1."
        )
