"""Which slots a task uses: the pruning strategies."""

import numbers
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tsn_keras import tfmot
from tsn_keras.pruning.task_masks import TaskMask

DEFAULT_SPARSITY = 0.95


def _checked_fraction(name: str, value: float) -> float:
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number or a dict of numbers by pattern. "
            f"Received: {name}={value!r}"
        )
    if not 0.0 <= value < 1.0:
        raise ValueError(
            f"`{name}` must be in [0, 1), the fraction of slots that are left "
            f"out. Received: {name}={value}"
        )
    return float(value)


class Pruning:
    """Base class of the pruning strategies.

    The mask goes from dense to the target sparsity while the task trains,
    under a schedule of TF Model Optimization (by default cubic: Zhu & Gupta,
    "To prune, or not to prune", 2017), and stays there. `consolidate` then
    prunes on as long as the validated quality stays within `tolerance`.

    Args:
        sparsity: float in [0, 1), or dict of such by regular expression over
            the kernels' paths (the first match counts), or `None`. Defaults
            to 0.95 if there is no schedule either.
        schedule: tfmot `PruningSchedule` or `None`. Gives the sparsity of all
            kernels by training step of the task, instead of `sparsity`.
        begin: float, fraction of the training steps at which pruning begins.
        end: float, fraction of the steps at which the target is reached.
        frequency: int, steps between two updates of the masks.
        tolerance: float, the quality (1.0 is 100 % accuracy) that pruning on
            in `consolidate` may cost. 0 still removes what costs nothing;
            `None` leaves the masks as training made them.
    """

    learned_scores = False

    def __init__(
        self,
        sparsity: float | Mapping[str, float] | None = None,
        schedule=None,
        begin: float = 0.0,
        end: float = 0.6,
        frequency: int = 50,
        tolerance: float | None = None,
    ):
        if sparsity is not None and schedule is not None:
            raise ValueError(
                "Give `sparsity` or `schedule`, not both: a schedule holds its "
                f"own target. Received: sparsity={sparsity}, "
                f"schedule={schedule}"
            )
        if schedule is not None and not tfmot.is_schedule(schedule):
            raise TypeError(
                "`schedule` must be a PruningSchedule of "
                f"tensorflow_model_optimization. Received: {schedule!r}"
            )
        if not 0.0 <= begin < end <= 1.0:
            raise ValueError(
                "`begin` and `end` must satisfy 0 <= begin < end <= 1. "
                f"Received: begin={begin}, end={end}"
            )
        if frequency < 1:
            raise ValueError(
                "`frequency` must be at least 1 step. Received: "
                f"frequency={frequency}"
            )
        if tolerance is not None and not 0.0 <= tolerance < 1.0:
            raise ValueError(
                "`tolerance` must be in [0, 1) or None. Received: "
                f"tolerance={tolerance}"
            )
        if schedule is None and sparsity is None:
            sparsity = DEFAULT_SPARSITY
        if isinstance(sparsity, Mapping):
            for pattern, value in sparsity.items():
                _checked_fraction(f"sparsity['{pattern}']", value)
            sparsity = dict(sparsity)
        elif sparsity is not None:
            sparsity = _checked_fraction("sparsity", sparsity)
        self.sparsity = sparsity
        self.schedule = schedule
        self.begin = begin
        self.end = end
        self.frequency = frequency
        self.tolerance = tolerance

    def target(self, path: str) -> float:
        """Returns the sparsity that a kernel ends with.

        Args:
            path: str, the kernel's path.

        Returns:
            float; with a schedule, the sparsity at the schedule's very end.
        """
        if self.schedule is not None:
            return tfmot.schedule_sparsity(self.schedule, 2**31)
        if not isinstance(self.sparsity, dict):
            return self.sparsity
        for pattern, value in self.sparsity.items():
            if re.search(pattern, path):
                return value
        raise ValueError(
            f"No pattern of `sparsity` matches kernel '{path}'. Received: "
            f"sparsity={self.sparsity}. Add an entry '.*' for all others."
        )

    def sparsity_at(self, path: str, step: int, total_steps: int) -> float:
        """Returns the sparsity of a kernel at a training step.

        Args:
            path: str, the kernel's path.
            step: int, steps that the task has been trained for.
            total_steps: int, steps that it will be trained for.

        Returns:
            float in [0, 1).
        """
        if self.schedule is not None:
            return tfmot.schedule_sparsity(self.schedule, step)
        end_step = max(1, int(self.end * total_steps))
        begin_step = min(int(self.begin * total_steps), end_step - 1)
        schedule = tfmot.cubic_schedule(
            self.target(path), begin_step, end_step, self.frequency
        )
        return tfmot.schedule_sparsity(schedule, step)

    def final_sparsity(
        self, path: str, step: int, total_steps: int | None
    ) -> float:
        """Returns the sparsity that consolidation leaves a kernel with.

        It is the target, or where a schedule has come to when training ends.
        """
        if self.schedule is None:
            return self.target(path)
        return self.sparsity_at(path, step, total_steps or step)

    def importance(self, mask: TaskMask) -> np.ndarray:
        """Returns what the slots of a kernel are ranked by."""
        raise NotImplementedError

    def update(self, mask: TaskMask, sparsity: float) -> None:
        """Prunes a kernel of the running task to a sparsity."""
        mask.prune(self.importance(mask), sparsity)
        mask.apply()

    def get_config(self) -> dict[str, Any]:
        schedule = self.schedule and self.schedule.get_config()
        return {
            "sparsity": self.sparsity,
            "schedule": schedule,
            "begin": self.begin,
            "end": self.end,
            "frequency": self.frequency,
            "tolerance": self.tolerance,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Pruning":
        schedule = config.get("schedule")
        if schedule is not None:
            schedule = tfmot.schedule_from_config(schedule)
        return cls(**{**config, "schedule": schedule})


@keras.saving.register_keras_serializable(package="tsn_keras")
class MagnitudePruning(Pruning):
    """Keeps the slots with the largest absolute values.

    Frozen values that the task may share compete with its own. A slot once
    pruned keeps its last trained value and may come back.

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
    free continual learning with winning subnetworks", ICML 2022). Between two
    updates of the threshold the mask follows the scores in every step.

    Takes the arguments of `Pruning`.
    """

    learned_scores = True

    def importance(self, mask: TaskMask) -> np.ndarray:
        # `largest` ranks absolute values; scores below zero are the lowest.
        scores = np.asarray(mask.kernel.scores)
        return scores - scores.min()

    def update(self, mask: TaskMask, sparsity: float) -> None:
        mask.prune(self.importance(mask), sparsity)
        mask.apply_scores()
