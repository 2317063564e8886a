"""Prunes a trained task: in rounds, or to the end of its schedule."""

import math
import warnings
from collections.abc import Callable

import keras
import numpy as np

from tsn_keras.layers import read
from tsn_keras.tasks.quality import Validation
from tsn_keras.tasks.retraining import Retraining
from tsn_keras.tasks.snapshot import Snapshot
from tsn_keras.tasks.tolerance import Tolerance
from tsn_keras.tasks.training import watch_gradients

# The steps of a round as a part of those of `fit`, and the fewest, unless that
# would be more than so large a part.
ROUND_PART = 0.25
FEWEST_STEPS = 60
LARGEST_PART = 0.4
# While most slots are there, less has to be learned anew.
FIRST_RATE = 0.5
# How often a sparsity is tried between one that held and one that did not, if
# the first that is tried does not hold either.
BISECTIONS = 2
# Rounds in a row that may fail by chance.
PATIENCE = 2
# Qualities are sums of float32.
ROUNDING = 1e-6


def finish_schedule(model: keras.Model) -> bool:
    """Brings masks to the end of their schedule where `fit` ended before.

    The rest of the schedule is trained if there are data.

    Returns:
        Whether that changed the task.
    """
    task, pruning = model.running_task, model.pruning
    masks, progress = task.masks, task.progress
    unfinished = pruning is not None and not progress.settled
    if unfinished:
        total = progress.total_steps or progress.step
        last = pruning.last_step(total)
        # Where nothing was trained, weights stay as they are.
        if last is not None and last > progress.step > 0:
            _train_rest(model, total, last)
        watch_gradients(model)
        pruning.finish(masks, progress.step, total)
    for mask in masks:
        mask.apply()
    return unfinished


def _train_rest(model: keras.Model, total: int, last: int) -> None:
    task, pruning = model.running_task, model.pruning
    progress = task.progress
    warnings.warn(
        f"Task '{task.name}': `fit` ended after {progress.step} of the "
        f"{last} steps of the pruning schedule. `consolidate` trains the rest.",
        stacklevel=6,
    )
    with Retraining(model) as training:
        training.begin(last - progress.step)
        while training.has_data and progress.step < last:
            steps = min(pruning.frequency, last - progress.step)
            training.run(steps)
            progress.advance(progress.step + steps)
            pruning.follow(task.masks, progress.step, total)
        training.end()


class PruningRounds:
    """Finds the sparsest masks of the running task that hold its quality.

    Each round removes slots, trains the rest for a while, and is validated.
    The first that does not hold ends them, or the third in a row where that
    may be chance. Then a sparsity between that round
    and the last that held is tried.

    Args:
        validation: It has validated the dense task.
        tolerance: What the task as a whole may lose.
        tell: Is called after each round with its number and its sparsity.
        trained: Training examples, which must hold as well where others are
            too few, but for what was learned by heart: a network that has too
            few slots for them is no better on those it has not seen, whatever
            a handful of them says.
    """

    def __init__(
        self,
        model: keras.Model,
        validation: Validation,
        tolerance: Tolerance,
        tell: Callable[[int, float], None],
        trained: Validation | None = None,
    ):
        self._model = model
        self._task = model.running_task
        self._strategy = model.pruning
        self._validation = validation
        self._tolerance = tolerance
        self._tell = tell
        self._trained = trained
        self._rounds = 0
        self._held = self._state(0.0)

    def run(self) -> float:
        """Leaves the task with the masks found, trained.

        If it is interrupted, these are the sparsest that held so far.

        Returns:
            The validated quality.
        """
        try:
            with Retraining(self._model) as training:
                self._search(training)
        except KeyboardInterrupt:
            if not self._held.sparsity:
                raise
            warnings.warn(
                f"Task '{self._task.name}': the search was interrupted. The "
                f"sparsest masks that held so far are taken: "
                f"{self._held.sparsity:.1%} of the slots are left out.",
                stacklevel=5,
            )
        self._bring_back()
        self._validation.recall_loss(self._held.loss)
        return self._held.quality

    def _search(self, training: Retraining) -> None:
        failed: list[float] = []
        # Dips that may be chance do not end the search at once.
        patience = 0 if self._tolerance.is_clear else PATIENCE
        for sparsity in self._strategy.sparsities():
            if self._holds(training, sparsity):
                failed.clear()
                continue
            failed.append(sparsity)
            if len(failed) > patience:
                break
        highest = failed[0] if failed else None
        for _ in range(BISECTIONS if failed else 0):
            self._bring_back()
            density = ((1 - self._held.sparsity) * (1 - highest)) ** 0.5
            if not self._holds(training, 1.0 - density):
                highest = 1.0 - density
            if self._held.sparsity:
                break

    def _holds(self, training: Retraining, sparsity: float) -> bool:
        steps = self._steps()
        is_dense = self._sparsity == 0.0
        training.begin(steps, FIRST_RATE if is_dense else 1.0)
        way = self._strategy.way(self._sparsity, sparsity)
        pause, done = steps / 2 / len(way), 0
        for number, passing in enumerate(way):
            if not self._is_finite():
                break
            self._strategy.choose(self._task.masks, passing)
            upto = round((number + 1) * pause)
            training.run(upto - done)
            done = upto
        training.run(steps - done)
        training.end()
        state = self._state(sparsity)
        self._rounds += 1
        self._tell(self._rounds, sparsity)
        diverged = not self._is_finite() or math.isnan(state.quality)
        if diverged:
            # Nothing can be ranked in weights that are NaN.
            training.slow_down()
            self._bring_back()
        is_fixed = self._strategy.sparsity is not None
        if diverged or not (is_fixed or self._is_good(state)):
            return False
        self._held = state
        return True

    def _is_finite(self) -> bool:
        kernels = (mask.kernel.kernel for mask in self._task.masks)
        return all(np.isfinite(read(kernel)).all() for kernel in kernels)

    def _bring_back(self) -> None:
        self._held.bring_back(self._task.masks)
        self._sparsity = self._held.sparsity

    def _steps(self) -> int:
        trained = self._task.progress.step
        steps = min(FEWEST_STEPS, LARGEST_PART * trained)
        steps = max(steps, ROUND_PART * trained)
        return math.ceil(self._strategy.effort * steps)

    def _is_good(self, state: "_Round") -> bool:
        allowed = self._tolerance.allowed_of_rounds(self._strategy.tolerance)
        lowest = self._tolerance.quality - allowed
        # NaN compares false.
        if not state.quality >= lowest - ROUNDING:
            return False
        if not self._tolerance.keeps_loss(state.loss):
            return False
        if self._trained is None:
            return True
        before = self._trained.initial
        lowest = before - self._tolerance.allowed_of_training(before)
        return self._trained.quality(or_nan=True) >= lowest - ROUNDING

    def _state(self, sparsity: float) -> "_Round":
        self._sparsity = sparsity
        return _Round(self._model, self._validation, sparsity)


class _Round:
    """The task after a round, so that it can be brought back."""

    def __init__(
        self, model: keras.Model, validation: Validation, sparsity: float
    ):
        switch, task = model.switch, model.running_task
        self.sparsity = sparsity
        self.quality = validation.initial
        if sparsity:
            self.quality = validation.quality(or_nan=True)
        self.loss = validation.loss
        kernels = [kernel.kernel for kernel in switch.kernels]
        self._values = Snapshot([*kernels, *switch.private])
        self._own = [mask.own for mask in task.masks]

    def bring_back(self, masks: list) -> None:
        """Gives the task its masks and values of that time."""
        self._values.restore()
        for mask, own in zip(masks, self._own):
            mask.take(own)
            mask.apply()
