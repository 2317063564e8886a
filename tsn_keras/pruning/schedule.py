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
        step: int, steps done.
        total_steps: int or `None`, steps of the task's first `fit`, over
            which the schedule runs; `None` while it is not known.
        settled: bool, whether the schedule has come to its end. The masks
            then stay as they are.
        denser: dict, lowest and highest value of every metric that `fit`
            validated at the ends of epochs before that.
    """

    step: int = 0
    total_steps: int | None = None
    settled: bool = False
    denser: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def note_denser(self, logs: dict[str, float]) -> None:
        """Notes what was validated while masks held more slots.

        Args:
            logs: dict, an epoch's results.
        """
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

    The steps are counted where the model's training function returns, and not
    by a hook at the end of batches: Keras would wait for the loss and the
    metrics of each step to hand them to that. It works under every form of
    the training step, and sees steps in groups of `steps_per_execution`.

    Args:
        pruning: `Pruning` strategy.
        masks: list of `TaskMask`.
        progress: `Progress` of the task, which is carried on.
    """

    def __init__(
        self, pruning: Pruning, masks: list[TaskMask], progress: Progress
    ):
        super().__init__()
        self.pruning = pruning
        self.masks = masks
        self.progress = progress

    def on_train_begin(self, logs=None):
        # Callbacks may have changed the weights at the end of the last `fit`.
        for mask in self.masks:
            mask.updated_at = None
        followed_function.follow(self.model, self._look)

    def on_train_end(self, logs=None):
        followed_function.leave(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = self.progress.step
        if self.progress.total_steps is None and self.params["steps"]:
            epochs = self.params["epochs"] - epoch
            self.progress.total_steps = self.params["steps"] * epochs
        begun = self.progress.step and self.progress.total_steps is not None
        if begun and not self.progress.settled:
            # A checkpoint restored just now was saved by a callback that ran
            # before `on_epoch_end` of this one.
            step = self.progress.step
            if any(mask.updated_at != step for mask in self.masks):
                self.update()

    def _look(self, outputs: Any) -> None:
        before = self.progress.step
        done = before - self._first_step + self.model.steps_per_execution
        # The last group of `steps_per_execution` may be counted in full.
        done = min(done, self.params["steps"] or done)
        self.progress.step = self._first_step + done
        if self.progress.total_steps is None or self.progress.settled:
            return
        frequency = self.pruning.frequency
        if self.progress.step // frequency == before // frequency:
            return
        if not _diverged(outputs):
            self.update()

    def on_epoch_end(self, epoch, logs=None):
        # The length of data of unknown size is known after one epoch.
        if self.progress.total_steps is None:
            epochs = self.params["epochs"] - epoch
            steps = self.progress.step - self._first_step
            self.progress.total_steps = steps * epochs
        if not self.progress.settled and not _diverged(logs):
            self.progress.note_denser(logs or {})
            self.update()

    def update(self) -> None:
        """Brings all masks to the sparsity of the current step."""
        progress = self.progress
        self.pruning.follow(self.masks, progress.step, progress.total_steps)
        for mask in self.masks:
            mask.updated_at = progress.step
        last = self.pruning.last_step(progress.total_steps)
        progress.settled = last is not None and progress.step >= last


def _diverged(outputs: Any) -> bool:
    """Tells whether kernels are NaN, in which nothing can be ranked."""
    return not np.isfinite(followed_function.loss_of(outputs))
