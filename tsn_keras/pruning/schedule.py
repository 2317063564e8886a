"""The callback that moves the masks along the pruning schedule."""

import dataclasses
from typing import Any

import keras
import numpy as np

from tsn_keras import followed_function
from tsn_keras.pruning.masks import TaskMask
from tsn_keras.pruning.strategies import Pruning


@dataclasses.dataclass
class Progress:
    """How far a task's training is.

    Args:
        step: steps done.
        total_steps: steps of the task's first `fit`, over which the schedule
            runs; `None` while that is not known.
        settled: whether the schedule has come to its end. From then on the
            masks stay as they are.
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

    def settle(self, last_step: int | None) -> None:
        """Notes whether the schedule has ended; with `None` it never ends."""
        self.settled = last_step is not None and self.step >= last_step

    def note_denser(self, logs: dict[str, float]) -> None:
        """Notes what an epoch validated while masks held more slots."""
        for key, value in logs.items():
            name = key.removeprefix("val_")
            # A metric may have a value for each class.
            if name != key and not np.ndim(value):
                known = self.denser.get(name, [])
                values = [*known, float(value)]
                # Copies of this object keep what they have.
                self.denser = {**self.denser, name: [min(values), max(values)]}


class PruningScheduleCallback(keras.callbacks.Callback):
    """Updates the masks every `frequency` steps, until the schedule's end.

    Steps are counted where the model's training function returns, not in a
    hook at the end of batches: for such a hook Keras waits for the loss and
    the metrics of each step. This works under every form of the training
    step, and sees steps in groups of `steps_per_execution`.

    Args:
        pruning: the strategy.
        masks: the masks of the task.
        progress: the task's progress, which is carried on.
    """

    def __init__(
        self, pruning: Pruning, masks: list[TaskMask], progress: Progress
    ):
        super().__init__()
        self.pruning = pruning
        self.masks = masks
        self.progress = progress
        self._updated: tuple[int, list[TaskMask]] | None = None

    def on_train_begin(self, logs=None):
        # Callbacks may have changed the weights at the end of the last `fit`.
        self._updated = None
        followed_function.follow(self.model, self._look)

    def on_train_end(self, logs=None):
        followed_function.leave(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = self.progress.step
        if self.params["steps"]:
            epochs = self.params["epochs"] - epoch
            self.progress.plan(self.params["steps"] * epochs)
        begun = self.progress.step and self.progress.total_steps is not None
        if begun and not self.progress.settled:
            # A checkpoint restored just now was saved by a callback that ran
            # before `on_epoch_end` of this one.
            if not self._is_up_to_date():
                self.update()

    def _look(self, outputs: Any) -> None:
        before = self.progress.step
        done = before - self._first_step + self.model.steps_per_execution
        # The last group of `steps_per_execution` may be counted in full.
        done = min(done, self.params["steps"] or done)
        self.progress.advance(self._first_step + done)
        if self.progress.total_steps is None or self.progress.settled:
            return
        frequency = self.pruning.frequency
        if self.progress.step // frequency == before // frequency:
            return
        if not _diverged(outputs):
            self.update()

    def on_epoch_end(self, epoch, logs=None):
        # The length of data of unknown size is known after one epoch.
        epochs = self.params["epochs"] - epoch
        steps = self.progress.step - self._first_step
        self.progress.plan(steps * epochs)
        if not self.progress.settled and not _diverged(logs):
            self.progress.note_denser(logs or {})
            self.update()

    def update(self) -> None:
        """Brings all masks to the sparsity of the current step."""
        progress = self.progress
        self.pruning.follow(self.masks, progress.step, progress.total_steps)
        self._updated = progress.step, list(self.masks)
        progress.settle(self.pruning.last_step(progress.total_steps))

    def _is_up_to_date(self) -> bool:
        """Tells whether these masks were updated at the current step.

        A task that goes on from a saved state has other masks than before.
        """
        if self._updated is None or self._updated[0] != self.progress.step:
            return False
        return all(a is b for a, b in zip(self._updated[1], self.masks))


def _diverged(outputs: Any) -> bool:
    """Tells whether kernels are NaN. Nothing can be ranked in them."""
    return not np.isfinite(followed_function.loss_of(outputs))
