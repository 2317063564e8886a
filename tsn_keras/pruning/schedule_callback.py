"""The callback that moves the masks along the pruning schedule."""

import dataclasses

import keras
import numpy as np

from tsn_keras.pruning.strategies import Pruning
from tsn_keras.pruning.task_masks import TaskMask


@dataclasses.dataclass
class Progress:
    """How far a task's training is.

    Args:
        step: int, steps done.
        total_steps: int or `None`, steps of the task's first `fit`, over
            which the schedule runs; `None` while it is not known.
    """

    step: int = 0
    total_steps: int | None = None


class PruningScheduleCallback(keras.callbacks.Callback):
    """Updates the masks every `frequency` steps of training.

    A callback costs nothing in the steps between, works under every form of
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

    def on_epoch_begin(self, epoch, logs=None):
        self._first_step = self.progress.step
        if self.progress.total_steps is None and self.params["steps"]:
            epochs = self.params["epochs"] - epoch
            self.progress.total_steps = self.params["steps"] * epochs
        self._previous = self._first_step
        if self.progress.step and self.progress.total_steps is not None:
            # A checkpoint restored just now was saved by a callback that ran
            # before `on_epoch_end` of this one.
            self.update()

    def on_train_batch_end(self, batch, logs=None):
        # The last group of `steps_per_execution` may be counted in full.
        done = min(batch + 1, self.params["steps"] or batch + 1)
        self.progress.step = self._first_step + done
        if self.progress.total_steps is None or _diverged(logs):
            return
        before = self._previous // self.pruning.frequency
        if self.progress.step // self.pruning.frequency > before:
            self.update()
        self._previous = self.progress.step

    def on_epoch_end(self, epoch, logs=None):
        # The length of data of unknown size is known after one epoch.
        if self.progress.total_steps is None:
            epochs = self.params["epochs"] - epoch
            steps = self.progress.step - self._first_step
            self.progress.total_steps = steps * epochs
        if not _diverged(logs):
            self.update()

    def update(self) -> None:
        """Brings all masks to the sparsity of the current step."""
        for mask in self.masks:
            sparsity = self.pruning.sparsity_at(
                mask.path, self.progress.step, self.progress.total_steps
            )
            self.pruning.update(mask, sparsity)


def _diverged(logs: dict | None) -> bool:
    """Tells whether kernels are NaN, in which nothing can be ranked."""
    return not np.isfinite((logs or {}).get("loss", 0.0))
