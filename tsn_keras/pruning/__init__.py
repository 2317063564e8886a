"""Which slots a task uses: schedules, criteria, thresholds, refinement."""

from tsn_keras.pruning.criteria import FisherPruning as FisherPruning
from tsn_keras.pruning.criteria import MagnitudePruning as MagnitudePruning
from tsn_keras.pruning.criteria import ScorePruning as ScorePruning
from tsn_keras.pruning.refinement import refine as refine
from tsn_keras.pruning.schedule_callback import MaskUpdates as MaskUpdates
from tsn_keras.pruning.schedule_callback import Progress as Progress
from tsn_keras.pruning.schedule_callback import (
    PruningScheduleCallback as PruningScheduleCallback,
)
from tsn_keras.pruning.schedule_callback import loss_of as loss_of
from tsn_keras.pruning.second_moments import (
    check_second_moments as check_second_moments,
)
from tsn_keras.pruning.second_moments import second_moment as second_moment
from tsn_keras.pruning.strategies import Pruning as Pruning
from tsn_keras.pruning.task_masks import TaskMask as TaskMask
from tsn_keras.pruning.task_masks import kept_slots as kept_slots
from tsn_keras.pruning.threshold import largest as largest
