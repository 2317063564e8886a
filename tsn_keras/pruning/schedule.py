"""How masks move along the pruning schedule while a task trains."""

import dataclasses
from typing import Any

import keras
import numpy as np

from tsn_keras.pruning.masks import TaskMask
from tsn_keras.pruning.strategies import Pruning, PruningStrategy


@dataclasses.dataclass
class Progress:
    """How far a task's training is.

    Args:
        step: training steps that are done.
        total_steps: steps of the task's first `fit`, over which the schedule
            runs; `None` while that is not known.
        settled: whether the schedule has ended. From then on the masks stay
            as they are.
        denser: lowest and highest value of every metric that `fit` validated
            at the ends of epochs before that.
    """

    step: int = 0
    total_steps: int | None = None
    settled: bool = False
    denser: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def advance(self, step: int) -> None:
        """Notes that so many steps are done."""
        self.step = step

    def plan(self, total_steps: int) -> None:
        """Sets the steps of the task's first `fit`, unless they are known."""
        if self.total_steps is None:
            self.total_steps = total_steps

    def restart(self, total_steps: int) -> None:
        """Forgets all that was done, before a schedule of so many steps."""
        self.go_on_from(Progress(total_steps=total_steps))

    def settle(self, last_step: int | None) -> None:
        """Notes whether the schedule has ended; with `None` it never ends."""
        self.settled = last_step is not None and self.step >= last_step

    def go_on_from(self, other: "Progress") -> None:
        """Takes over the state of another object."""
        vars(self).update(vars(other))

    def note_denser(self, logs: dict[str, float]) -> None:
        """Notes what an epoch validated while masks held more slots."""
        for key, value in logs.items():
            name = key.removeprefix("val_")
            # A metric may have a value for each class.
            if name != key and not np.ndim(value):
                values = [*self.denser.get(name, []), float(value)]
                # Copies of this object keep what they have.
                self.denser = {**self.denser, name: [min(values), max(values)]}


@dataclasses.dataclass(eq=False)
class MaskUpdates:
    """Moves masks along the pruning schedule, every `frequency` steps.

    Steps come one by one, or in groups of `steps_per_execution`. Once the
    schedule has ended, masks stay as they are. `progress` is kept up to date.
    """

    pruning: PruningStrategy | None
    masks: list[TaskMask]
    progress: Progress

    def __post_init__(self):
        self._first_step = 0
        # The steps of an epoch, if they are known, and the epochs left.
        self._steps: int | None = None
        self._epochs = 1
        self._updated: tuple[int, list[TaskMask]] | None = None

    @property
    def _moves(self) -> bool:
        """Whether there is a schedule that has not ended."""
        is_scheduled = isinstance(self.pruning, Pruning)
        return is_scheduled and not self.progress.settled

    def begin(self) -> None:
        """Takes note that `fit` begins."""
        # Callbacks may have changed the weights at the end of the last `fit`.
        self._updated = None

    def begin_epoch(self, epoch: int, params: dict[str, Any]) -> None:
        """Takes note of an epoch, with the callbacks' `params`."""
        progress = self.progress
        self._first_step, self._steps = progress.step, params["steps"]
        self._epochs = params["epochs"] - epoch
        if self._steps:
            progress.plan(self._steps * self._epochs)
        begun = progress.step and progress.total_steps is not None
        # A checkpoint restored just now was saved by a callback that ran
        # before the end of the epoch was noted here. A task that goes on from
        # a saved state has other masks than before.
        up_to_date = self._updated == (progress.step, self.masks)
        if begun and self._moves and not up_to_date:
            self._update()

    def after_step(self, outputs: Any, count: int) -> None:
        """Takes note of a group of steps and what the last one returned."""
        progress = self.progress
        before = progress.step
        done = before - self._first_step + count
        # The last group of `steps_per_execution` may be counted in full.
        progress.advance(self._first_step + min(done, self._steps or done))
        if progress.total_steps is None or not self._moves:
            return
        frequency = self.pruning.frequency
        is_due = progress.step // frequency != before // frequency
        if is_due and not _diverged(outputs):
            self._update()

    def end_epoch(self, logs: Any) -> None:
        """Takes note of the results of an epoch that has ended."""
        progress = self.progress
        # The length of data of unknown size is known after one epoch.
        steps = progress.step - self._first_step
        progress.plan(steps * self._epochs)
        if self._moves and not _diverged(logs):
            progress.note_denser(logs or {})
            self._update()

    def _update(self) -> None:
        """Brings all masks to the sparsity of the current step."""
        progress = self.progress
        self.pruning.follow(self.masks, progress.step, progress.total_steps)
        self._updated = progress.step, list(self.masks)
        progress.settle(self.pruning.last_step(progress.total_steps))


class PruningScheduleCallback(keras.callbacks.Callback):
    """Moves masks along the pruning schedule in a `fit` of one's own.

    `ContinualModel` does so by itself.

    Args:
        pruning: the strategy.
        masks: one for each kernel.
        progress: how far the task is; the callback keeps it up to date.
    """

    def __init__(
        self, pruning: Pruning, masks: list[TaskMask], progress: Progress
    ):
        super().__init__()
        self._updates = MaskUpdates(pruning, masks, progress)

    def on_train_begin(self, logs=None):
        self._updates.begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._updates.begin_epoch(epoch, self.params)

    def on_train_batch_end(self, batch, logs=None):
        self._updates.after_step(logs, self.model.steps_per_execution)

    def on_epoch_end(self, epoch, logs=None):
        self._updates.end_epoch(logs)


def loss_of(outputs: Any) -> float:
    """Returns the loss in a step's outputs or an epoch's logs, or else 0."""
    loss = outputs.get("loss") if isinstance(outputs, dict) else None
    return 0.0 if loss is None else float(loss)


def _diverged(outputs: Any) -> bool:
    """Tells whether kernels may be NaN. Nothing can be ranked in these."""
    return not np.isfinite(loss_of(outputs))
