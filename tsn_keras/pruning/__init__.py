"""Which slots a task uses: masks, schedules, strategies, refinement."""

from tsn_keras.pruning.adaptive_sparsity import (
    AdaptiveSparsity as AdaptiveSparsity,
)
from tsn_keras.pruning.adaptive_sparsity import rank_together as rank_together
from tsn_keras.pruning.masks import TaskMask as TaskMask
from tsn_keras.pruning.masks import kept_slots as kept_slots
from tsn_keras.pruning.masks import largest as largest
from tsn_keras.pruning.refinement import refine as refine
from tsn_keras.pruning.schedule import MaskUpdates as MaskUpdates
from tsn_keras.pruning.schedule import Progress as Progress
from tsn_keras.pruning.schedule import (
    PruningScheduleCallback as PruningScheduleCallback,
)
from tsn_keras.pruning.schedule import loss_of as loss_of
from tsn_keras.pruning.strategies import FisherPruning as FisherPruning
from tsn_keras.pruning.strategies import MagnitudePruning as MagnitudePruning
from tsn_keras.pruning.strategies import Pruning as Pruning
from tsn_keras.pruning.strategies import PruningStrategy as PruningStrategy
from tsn_keras.pruning.strategies import ScorePruning as ScorePruning
from tsn_keras.pruning.strategies import (
    check_second_moments as check_second_moments,
)
from tsn_keras.pruning.strategies import (
    has_second_moments as has_second_moments,
)
from tsn_keras.pruning.strategies import second_moment as second_moment

# For users: what completion shows and the reference describes.
__all__ = [
    "AdaptiveSparsity",
    "FisherPruning",
    "MagnitudePruning",
    "Progress",
    "Pruning",
    "PruningScheduleCallback",
    "PruningStrategy",
    "ScorePruning",
    "TaskMask",
    "largest",
]


def __dir__() -> list[str]:
    return __all__
