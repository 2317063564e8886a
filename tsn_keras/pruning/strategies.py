"""How far the kernels of a task are pruned: the strategies' base."""

import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from tsn_keras import tfmot
from tsn_keras.pruning import allocation
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
    "To prune, or not to prune", 2017). At the schedule's end it has come to
    rest, as with TF Model Optimization itself. `consolidate` then
    prunes on as long as the validated quality stays within `tolerance`.

    Args:
        sparsity: float in [0, 1), or dict of such by regular expression over
            the kernels' paths (the first match counts), or `None`. Defaults
            to 0.95 if there is neither a schedule nor a budget.
        schedule: tfmot `PruningSchedule` or `None`. Gives the sparsity of all
            kernels by training step of the task, instead of `sparsity`.
        begin: float, fraction of the training steps at which pruning begins.
        end: float, fraction of the steps at which the target is reached.
        frequency: int, steps between two updates of the masks.
        tolerance: float, the quality (1.0 is 100 % accuracy) that pruning on
            in `consolidate` may cost. 0 still removes what costs nothing;
            `None` leaves the masks as training made them.
        budget: int or `None`. Bytes that the masks, codes and codebooks of a
            task may take, instead of `sparsity`. They are divided among the
            kernels by ranking the slots of all of them together.
    """

    learned_scores = False
    score_frequency = 1
    needs_second_moments = False

    def __init__(
        self,
        sparsity: float | Mapping[str, float] | None = None,
        schedule=None,
        begin: float = 0.0,
        end: float = 0.6,
        frequency: int = 50,
        tolerance: float | None = None,
        budget: int | None = None,
    ):
        targets = (sparsity, schedule, budget)
        if sum(target is not None for target in targets) > 1:
            raise ValueError(
                "Give one of `sparsity`, `schedule` and `budget`: each is a "
                f"target of its own. Received: sparsity={sparsity}, "
                f"schedule={schedule}, budget={budget}"
            )
        if budget is not None and not budget > 0:
            raise ValueError(
                "`budget` must be a positive number of bytes. Received: "
                f"budget={budget}"
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
        if not any(target is not None for target in targets):
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
        self.budget = budget

    def target(self, path: str) -> float:
        """Returns the sparsity that a kernel ends with.

        Args:
            path: str, the kernel's path.

        Returns:
            float; with a schedule, the sparsity at the schedule's very end,
            with a budget, the highest that it can come to.
        """
        if self.budget is not None:
            return 1.0 - allocation.SMALLEST_DENSITY
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

    def check_budget(self, sizes: list[int], width: int) -> None:
        """Refuses a budget that is too small for some kernels.

        Args:
            sizes: list of int, the numbers of slots.
            width: int, bits of the narrowest code.
        """
        if self.budget is None:
            return
        smallest = math.ceil(allocation.smallest_budget(sizes, width))
        if self.budget < smallest:
            raise ValueError(
                f"`budget` is too small for the kernels of this network: "
                f"{smallest} bytes hold 1 % of their slots in codes of "
                f"{width} bits. Received: budget={self.budget}"
            )

    def sparsity_at(self, target: float, step: int, total_steps: int) -> float:
        """Returns the sparsity at a training step on the way to a target.

        Args:
            target: float, the sparsity at the end; of no account if there is
                a schedule.
            step: int, steps that the task has been trained for.
            total_steps: int, steps that it will be trained for.

        Returns:
            float in [0, 1).
        """
        if self.schedule is not None:
            return tfmot.schedule_sparsity(self.schedule, step)
        end_step = self.last_step(total_steps)
        begin_step = min(int(self.begin * total_steps), end_step - 1)
        schedule = tfmot.cubic_schedule(
            target, begin_step, end_step, self.frequency
        )
        # It stays where it is then, and need not be evaluated again.
        return tfmot.schedule_sparsity(schedule, min(step, end_step))

    def last_step(self, total_steps: int) -> int | None:
        """Returns the step at which the schedule ends; `None` if it never does.

        Args:
            total_steps: int, steps that the task will be trained for.
        """
        if self.schedule is not None:
            return tfmot.schedule_end(self.schedule)
        return max(1, int(self.end * total_steps))

    def follow(
        self, masks: list[TaskMask], step: int, total_steps: int
    ) -> None:
        """Brings the masks of the running task to where the schedule is.

        Args:
            masks: list of `TaskMask`.
            step: int, steps that the task has been trained for.
            total_steps: int, steps that it will be trained for.
        """
        importances = [self.importance(mask) for mask in masks]
        targets = self._targets(masks, importances)
        for mask, importance, target in zip(masks, importances, targets):
            sparsity = self.sparsity_at(target, step, total_steps)
            mask.prune(importance, _of_own(mask, sparsity))
            mask.apply()

    def finish(
        self, masks: list[TaskMask], step: int, total_steps: int | None
    ) -> None:
        """Brings masks to their target where training stopped before it.

        With a schedule the target is where that has come to.

        Args:
            masks: list of `TaskMask`.
            step: int, steps that the task was trained for.
            total_steps: int or `None`, steps that were planned.
        """
        importances = [self.importance(mask) for mask in masks]
        targets = self._targets(masks, importances)
        for mask, importance, target in zip(masks, importances, targets):
            if self.schedule is not None:
                target = self.sparsity_at(target, step, total_steps or step)
            mask.prune(importance, _of_own(mask, target))

    def _targets(
        self, masks: list[TaskMask], importances: list[np.ndarray]
    ) -> list[float]:
        """The sparsity that each kernel is to end with."""
        if self.budget is None:
            return [self.target(mask.path) for mask in masks]
        counts = allocation.divide_budget(
            importances,
            [mask.available for mask in masks],
            self.budget,
            masks[0].width,
        )
        # TF Model Optimization has no sparsity of 1. Where no slot is free,
        # none is owned all the same.
        return [
            1 - max(k, 1) / mask.kernel.size for k, mask in zip(counts, masks)
        ]

    def importance(self, mask: TaskMask) -> np.ndarray:
        """Returns what the slots of a kernel are ranked by."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        schedule = self.schedule and self.schedule.get_config()
        return {
            "sparsity": self.sparsity,
            "schedule": schedule,
            "begin": self.begin,
            "end": self.end,
            "frequency": self.frequency,
            "tolerance": self.tolerance,
            "budget": self.budget,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Pruning":
        schedule = config.get("schedule")
        if schedule is not None:
            schedule = tfmot.schedule_from_config(schedule)
        return cls(**{**config, "schedule": schedule})


def _of_own(mask: TaskMask, sparsity: float) -> float:
    """The sparsity of what a task may own beside what it inherits."""
    return 1.0 - mask.own_fraction * (1.0 - sparsity)
