"""Which slots a task keeps: the pruning strategies."""

import abc
import dataclasses
import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tsn_keras import tfmot
from tsn_keras.data import (
    check_integers,
    check_numbers,
    check_tolerance,
)
from tsn_keras.keras_internals import index_of_variable, second_moments
from tsn_keras.layers.masked_kernel import read
from tsn_keras.names import check_pattern, matches
from tsn_keras.pruning.budget import (
    SMALLEST_DENSITY,
    divide_budget,
    smallest_budget,
)
from tsn_keras.pruning.masks import TaskMask

DEFAULT_SPARSITY = 0.95


def check_fraction(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
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


def _check_patterns(sparsity: Mapping[str, float]) -> None:
    if not sparsity:
        raise ValueError(
            "`sparsity` is an empty dict. Give a fraction by pattern, such as "
            "{'.*': 0.9}. Received: sparsity={}"
        )
    for pattern in sparsity:
        check_pattern(pattern, "sparsity")


class PruningStrategy(abc.ABC):
    """What all pruning strategies have.

    One of your own derives from `Pruning`, which has a schedule, or from
    `AdaptiveSparsity`, which finds its sparsity.
    """

    # They belong to the class and are no arguments of it.
    learned_scores = False
    score_frequency = 1
    needs_second_moments = False

    @abc.abstractmethod
    def target(self, path: str) -> float:
        """Returns the sparsity that the kernel of a path ends with."""

    @abc.abstractmethod
    def importance(self, mask: TaskMask) -> np.ndarray:
        """Returns what the slots of a kernel are ranked by."""


@dataclasses.dataclass(eq=False)
class Pruning(PruningStrategy):
    """Base class of the strategies with a given sparsity or schedule.

    While the task trains, the mask goes from dense to the target sparsity,
    under a schedule of TF Model Optimization (by default cubic: Zhu & Gupta,
    "To prune, or not to prune", 2017). After the schedule's end the mask stays
    as it is. `consolidate` then prunes further, as long as the validated
    quality stays within `tolerance`.

    Args:
        sparsity: in [0, 1), or a dict of such by regular expression over the
            kernels' paths (the first match counts). Defaults to 0.95 if there
            is neither a schedule nor a budget.
        schedule: tfmot `PruningSchedule`. Gives the sparsity of all kernels
            by training step of the task, instead of `sparsity`.
        begin: fraction of the training steps at which pruning begins.
        end: fraction of the steps at which the target is reached.
        frequency: steps between two updates of the masks.
        tolerance: what further pruning in `consolidate` may cost, at most the
            model's `tolerance`. 0 still removes what costs nothing; `None`
            leaves the masks as training made them.
        budget: bytes that the masks, codes and codebooks of a task may take,
            instead of `sparsity`. They are divided among the kernels by
            ranking the slots of all kernels together.
    """

    sparsity: float | Mapping[str, float] | None = None
    schedule: Any = None
    begin: float = 0.0
    end: float = 0.6
    frequency: int = 50
    tolerance: float | None = None
    budget: int | None = None

    def __post_init__(self):
        targets = (self.sparsity, self.schedule, self.budget)
        if sum(target is not None for target in targets) > 1:
            raise ValueError(
                "Give one of `sparsity`, `schedule` and `budget`: each is a "
                f"target of its own. Received: sparsity={self.sparsity}, "
                f"schedule={self.schedule}, budget={self.budget}"
            )
        check_numbers(budget=self.budget, or_none=True)
        check_numbers(begin=self.begin, end=self.end)
        check_integers(frequency=self.frequency)
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise ValueError(
                "`budget` must be a positive number of bytes. Received: "
                f"budget={self.budget}"
            )
        if self.schedule is not None and not tfmot.is_schedule(self.schedule):
            raise TypeError(
                "`schedule` must be a PruningSchedule of "
                f"tensorflow_model_optimization. Received: {self.schedule!r}"
            )
        if not 0.0 <= self.begin < self.end <= 1.0:
            raise ValueError(
                "`begin` and `end` must satisfy 0 <= begin < end <= 1. "
                f"Received: begin={self.begin}, end={self.end}"
            )
        if self.frequency < 1:
            raise ValueError(
                "`frequency` must be at least 1 step. Received: "
                f"frequency={self.frequency}"
            )
        check_tolerance(self.tolerance, or_none=True)
        if not any(target is not None for target in targets):
            self.sparsity = DEFAULT_SPARSITY
        if isinstance(self.sparsity, Mapping):
            _check_patterns(self.sparsity)
            for pattern, value in self.sparsity.items():
                check_fraction(f"sparsity['{pattern}']", value)
            self.sparsity = dict(self.sparsity)
        elif self.sparsity is not None:
            self.sparsity = check_fraction("sparsity", self.sparsity)

    def target(self, path: str) -> float:
        """Returns the sparsity that the kernel of a path ends with.

        With a schedule this is the sparsity at the schedule's very end, with
        a budget the highest that is possible.
        """
        if self.budget is not None:
            return 1.0 - SMALLEST_DENSITY
        if self.schedule is not None:
            return tfmot.schedule_sparsity(self.schedule, 2**31)
        if not isinstance(self.sparsity, dict):
            return self.sparsity
        for pattern, value in self.sparsity.items():
            if matches(pattern, path, "sparsity"):
                return value
        raise ValueError(
            f"No pattern of `sparsity` matches kernel '{path}'. Received: "
            f"sparsity={self.sparsity}. Add an entry '.*' for all others."
        )

    def check_budget(self, sizes: list[int], width: int) -> None:
        """Refuses a budget that is too small for kernels of these sizes."""
        if self.budget is None:
            return
        smallest = math.ceil(smallest_budget(sizes, width))
        if self.budget < smallest:
            raise ValueError(
                f"`budget` is too small for the kernels of this network: "
                f"{smallest} bytes hold 1 % of their slots in codes of "
                f"{width} bits. Received: budget={self.budget}"
            )

    def sparsity_at(self, target: float, step: int, total_steps: int) -> float:
        """Returns the sparsity at a training step on the way to a target.

        If there is a schedule, the target is not used.
        """
        if self.schedule is not None:
            return tfmot.schedule_sparsity(self.schedule, step)
        end_step = self.last_step(total_steps)
        begin_step = min(int(self.begin * total_steps), end_step - 1)
        schedule = tfmot.cubic_schedule(
            target, begin_step, end_step, self.frequency
        )
        # After the end nothing changes, and tfmot need not be called again.
        return tfmot.schedule_sparsity(schedule, min(step, end_step))

    def last_step(self, total_steps: int) -> int | None:
        """Returns the step at which the schedule ends; `None` if never."""
        if self.schedule is not None:
            return tfmot.schedule_end(self.schedule)
        return max(1, int(self.end * total_steps))

    def follow(
        self, masks: list[TaskMask], step: int, total_steps: int
    ) -> None:
        """Brings the masks of a task to where the schedule is at a step."""
        for mask, importance, target in self._ranked(masks):
            mask.prune(importance, self.sparsity_at(target, step, total_steps))
            mask.apply()

    def finish(
        self, masks: list[TaskMask], step: int, total_steps: int | None
    ) -> None:
        """Brings masks to their target where training stopped before it.

        With a schedule the target is what it says for `step`.
        """
        for mask, importance, target in self._ranked(masks):
            if self.schedule is not None:
                target = self.sparsity_at(target, step, total_steps or step)
            mask.prune(importance, target)

    def _ranked(
        self, masks: list[TaskMask]
    ) -> Iterator[tuple[TaskMask, np.ndarray, float]]:
        """Yields masks, importances and the sparsities to end with."""
        importances = [self.importance(mask) for mask in masks]
        if self.budget is None:
            targets = [self.target(mask.path) for mask in masks]
        else:
            available = [mask.available for mask in masks]
            counts = divide_budget(
                importances, available, self.budget, masks[0].width
            )
            # TF Model Optimization has no sparsity of 1. A kernel without a
            # free slot owns none anyway.
            targets = [
                1 - max(k, 1) / m.kernel.size for k, m in zip(counts, masks)
            ]
        return zip(masks, importances, targets)

    def get_config(self) -> dict[str, Any]:
        fields = dataclasses.fields(self)
        config = {field.name: getattr(self, field.name) for field in fields}
        schedule = self.schedule and self.schedule.get_config()
        return {**config, "schedule": schedule}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Pruning":
        schedule = config.get("schedule")
        if schedule is not None:
            schedule = tfmot.schedule_from_config(schedule)
        return cls(**{**config, "schedule": schedule})


def second_moment(optimizer: Any, variable: keras.Variable) -> np.ndarray:
    """Returns the running mean of a variable's squared gradients.

    Adam (Kingma & Ba, 2015), its relatives and RMSprop divide by its root. It
    is the diagonal of the empirical Fisher information of a batch. Before the
    first step it is zero.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer.built:
        check_second_moments(optimizer)
        index = index_of_variable(optimizer, variable)
        return read(second_moments(optimizer)[index])
    return np.zeros(variable.shape, np.float32)


def has_second_moments(optimizer: Any) -> bool:
    """Tells whether a built optimizer keeps means of squared gradients."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return bool(second_moments(optimizer))


def check_second_moments(optimizer: Any) -> None:
    """Refuses a built optimizer that keeps no mean of squared gradients."""
    if not has_second_moments(optimizer):
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        raise ValueError(
            "`FisherPruning` ranks weights by the squared gradients that "
            "Adam, AdamW, Nadam, Lamb or RMSprop keep, and "
            f"{type(optimizer).__name__} keeps none. Compile the model with "
            "one of these, or use `MagnitudePruning`."
        )


@keras.saving.register_keras_serializable(package="tsn_keras")
class MagnitudePruning(Pruning):
    """Keeps the slots with the largest absolute values.

    A pruned slot keeps its last trained value and may come back. Takes the
    arguments of `Pruning`.

    Example:

    >>> pruning = MagnitudePruning(sparsity={"dense_1": 0.5, ".*": 0.9})
    >>> pruning.target("mlp/dense/kernel")
    0.9
    """

    def importance(self, mask: TaskMask) -> np.ndarray:
        return mask.values()


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class ScorePruning(Pruning):
    """Keeps the slots with the highest learned scores.

    Each slot has a trainable score beside its weight; the gradient of the
    mask is passed straight through to the scores (WSN: Kang et al., "Forget-
    free continual learning with winning subnetworks", ICML 2022). The mask
    follows the scores when the schedule updates it.

    In a step that trains scores the optimizer moves twice as many variables. So
    only some of the steps train them.

    Args:
        score_frequency: one of so many steps trains scores; 1 for all steps.

    The other arguments are those of `Pruning`.
    """

    learned_scores = True

    score_frequency: int = dataclasses.field(default=8, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check_integers(score_frequency=self.score_frequency)
        if self.score_frequency < 1:
            raise ValueError(
                "`score_frequency` must be at least 1 step. Received: "
                f"score_frequency={self.score_frequency}"
            )

    def importance(self, mask: TaskMask) -> np.ndarray:
        # `largest` ranks absolute values; scores below zero are the lowest.
        scores = np.asarray(mask.kernel.scores)
        return scores - scores.min()


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class FisherPruning(Pruning):
    """Keeps the slots whose weights matter most to the loss.

    A weight is ranked by its magnitude and the mean squared gradient `v`
    that the optimizer keeps of it, a diagonal of the Fisher information:

    `importance = |w| * v ** power`

    With `power=0.5` this is the root of the expected loss of removing the
    weight (LeCun et al., "Optimal brain damage", 1990; Theis et al., "Faster
    gaze prediction with dense networks and Fisher pruning", 2018). With
    `power=0` it is the magnitude. Where few weights are left, a power between
    the two is better than either. Needs an optimizer that keeps squared
    gradients: Adam, AdamW, Nadam, Lamb or RMSprop.

    Args:
        power: in [0, 1].

    The other arguments are those of `Pruning`.
    """

    needs_second_moments = True

    power: float = dataclasses.field(default=0.25, kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check_numbers(power=self.power)
        if not 0.0 <= self.power <= 1.0:
            raise ValueError(
                f"`power` must be in [0, 1]. Received: power={self.power}"
            )

    def importance(self, mask: TaskMask) -> np.ndarray:
        magnitudes = np.abs(mask.values())
        moment = mask.second_moment()
        if not moment.any():
            return magnitudes
        return magnitudes * np.power(moment, self.power)
