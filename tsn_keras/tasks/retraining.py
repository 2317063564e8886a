"""More training of the running task, after its `fit`, while it is pruned."""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tsn_keras.data import BatchLoop, num_rows, stacked
from tsn_keras.layers import read, with_quick_averages
from tsn_keras.pruning import has_second_moments
from tsn_keras.tasks.initialization import derived_seed
from tsn_keras.tasks.optimizer import (
    FallingRate,
    go_on_from,
    highest_rate,
    optimizer_with,
)
from tsn_keras.tasks.training import watch_gradients

# Short trainings that end at a learning rate of 0 get further with more than a
# rate that stays. Not where gradients themselves are the size of the steps.
MORE_RATE = 2.0
# What is left of the rate after a training that diverged.
SLOWER = 0.1
# No task is trained for so many steps.
_NO_END = 1 << 60


class Retraining:
    """Trains the running task on the data of its last `fit`.

    In the context the model has an optimizer like its own, which goes on from
    it with a learning rate that falls as it is told. Training runs the
    model's own `train_step`. Its trace is kept for later tasks.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._rate, self._optimizer, self._loop = model.compiled_heads.kept(
            "retraining", lambda: _make(model)
        )
        self._own_optimizer = model.optimizer
        task = model.running_task
        self._peak = task.learning_rate
        if self._peak is None:
            steps = task.progress.step
            self._peak = highest_rate(model.optimizer, steps)
        elif has_second_moments(self._optimizer):
            self._peak *= MORE_RATE
        seed = derived_seed(model.seed or 0, len(model.bank.tasks))
        batches = task.data.batches(_NO_END, seed) if task.data else iter(())
        self._batches = _of_one_size(batches)
        self._next = next(self._batches, None)
        if self._next is None:
            warnings.warn(_no_data(task), stacklevel=8)

    @property
    def has_data(self) -> bool:
        """Whether there is anything to train with."""
        return self._next is not None

    def __enter__(self) -> "Retraining":
        self._forget()
        self._model.compiled_heads.set("optimizer", self._optimizer)
        if has_second_moments(self._optimizer):
            watch_gradients(self._model)
        return self

    def __exit__(self, *error: Any) -> None:
        self._model.compiled_heads.set("optimizer", self._own_optimizer)

    def slow_down(self) -> None:
        """To be called after a training that diverged; weights come back."""
        self._peak *= SLOWER
        self._forget()

    def _forget(self) -> None:
        go_on_from(self._optimizer, self._own_optimizer)

    def begin(self, steps: int, part: float = 1.0) -> None:
        """Lets the learning rate fall to 0 over the next steps.

        It begins with a part of the usual.
        """
        done = int(read(self._optimizer.iterations))
        self._rate.begin(part * self._peak, done, steps)

    def run(self, steps: int) -> None:
        """Trains for some steps."""
        if self.has_data:
            batches = itertools.chain([self._next], self._batches)
            for stack in stacked(itertools.islice(batches, steps)):
                self._loop(stack)
            self._next = next(self._batches, self._next)

    def end(self) -> None:
        """Ends what `begin` began, as the end of `fit` does.

        Where it is asked to, an optimizer then takes averages of the variables.
        """
        if self.has_data:
            self._optimizer.finalize_variable_values(
                self._model.trainable_variables
            )


def _make(model: keras.Model) -> tuple:
    rate = FallingRate()

    def step(batch):
        # Keras scales the loss for replicas, which all take the same batch.
        with with_quick_averages(model):
            tf.distribute.get_strategy().run(model.train_step, args=(batch,))

    loop = BatchLoop(step, run_eagerly=model.run_eagerly)
    return rate, optimizer_with(rate, model), loop


def _of_one_size(batches: Iterator[tuple]) -> Iterator[tuple]:
    """Leaves out the smaller batches at the end of each epoch.

    They would need a trace of their own.
    """
    size = 0
    for batch in batches:
        rows = num_rows(batch[0])
        size = max(size, rows)
        if rows == size:
            yield batch


def _no_data(task: Any) -> str:
    reason = "its training data cannot be read a second time"
    if task.data is None:
        reason = "it was loaded in the middle of its training"
    return (
        f"Task '{task.name}' is pruned without training in between, since "
        f"{reason}. Fewer slots can be left out then. Give `training_data` to "
        "`consolidate`."
    )
