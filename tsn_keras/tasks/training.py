"""One call of `fit`: checked before, watched, undone if it fails."""

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.data import (
    TrainingData,
    check_arrays,
    check_casts,
    explaining_casts,
)
from tsn_keras.layers import MaskedKernel
from tsn_keras.pruning import (
    MaskUpdates,
    Pruning,
    check_second_moments,
    loss_of,
    second_moment,
)
from tsn_keras.tasks import call_arguments, checks
from tsn_keras.tasks.initialization import derived_seed, seed_states
from tsn_keras.tasks.optimizer import check_learning_rate, current_rate
from tsn_keras.tasks.snapshot import Snapshot
from tsn_keras.tasks.start import TaskStart

# What `fit` raises for data or a loss that no task can be trained with.
# Other errors, such as of a full disk, leave what was trained so far.
DATA_ERRORS = (
    ArithmeticError,
    TypeError,
    ValueError,
    tf.errors.InvalidArgumentError,
)
REMEDY = (
    "the training has diverged, or the data contain NaN. Lower the learning "
    "rate, clip the gradients (`clipnorm`), or clean the data. The task is as "
    "it was before `fit`, and the weight bank is unchanged."
)
# Steps, or groups of them, from one look at the loss to the next.
LOOK_EVERY = 50


@contextlib.contextmanager
def training_of(
    model: keras.Model, task: str | None, args: tuple, kwargs: dict[str, Any]
) -> Iterator["Training"]:
    """Prepares a call of `fit` and sees to it that it leaves no damage.

    The first call for a task chooses its plane and its starting values. If
    the data cannot be learned from or the loss is NaN, the task is as it was
    before the call.
    """
    check_trainable(model, task)
    arguments = call_arguments.bound("fit", model, args, kwargs)
    call_arguments.check_settings(arguments)
    call_arguments.check_kinds(arguments)
    data = _checked_data(model, arguments)
    model.switch.check_base()
    before = TaskBefore(model)
    keras_internals.forget_initial_epoch(model)
    running = model.running_task
    try:
        if not running.begun:
            TaskStart(model, data).run()
        if model.seed is not None:
            number = len(model.bank.tasks)
            seed = derived_seed(model.seed, number, running.fits)
            keras.utils.set_random_seed(seed)
        training = Training(model, data, arguments)
        with explaining_casts():
            yield training
    except DATA_ERRORS as error:
        try:
            if not isinstance(error, FloatingPointError):
                check_kernels(model.switch.kernels)
            call_arguments.explain(model, arguments, error)
        finally:
            before.restore()
        raise
    if training.stopped_by is not None:
        before.restore()
        warnings.warn(training.stopped_by, stacklevel=5)


class Training:
    """One call of `fit`: what it trains with, and what follows each step.

    Attributes:
        arguments: Of `keras.Model.fit`, with our callback behind the user's.
    """

    def __init__(
        self, model: keras.Model, data: TrainingData, arguments: dict[str, Any]
    ):
        self._model = model
        task, pruning = model.running_task, model.pruning
        given = arguments.get("callbacks")
        # The user's list may serve another task, with other masks than ours.
        if isinstance(given, keras.callbacks.CallbackList):
            given = given.callbacks
        given = tree.flatten(given or [])
        task.begin_fit(data, given, current_rate(model.optimizer))
        if data.is_read_once:
            warnings.warn(
                "`x` is a generator, which cannot be started again: "
                "`consolidate` will have no data to train with. Give it "
                "`training_data`, or give `fit` arrays, a `tf.data.Dataset` "
                "or a `PyDataset`.",
                stacklevel=6,
            )
        self._watch = _LossWatch(model.switch.kernels)
        if isinstance(pruning, Pruning):
            watch_gradients(model)
        self._updates = MaskUpdates(pruning, task.masks, task.progress)
        hooks = _BetweenSteps(self._watch, self._updates)
        callbacks = [*given, hooks]
        self.arguments = {**arguments, "x": data.x, "callbacks": callbacks}
        if not data.shuffled_by_keras:
            # Keras would warn that it does not do what nobody asked for.
            self.arguments.setdefault("shuffle", False)

    @property
    def stopped_by(self) -> str | None:
        """Why the user's `TerminateOnNaN` ended the training, if it did."""
        return self._watch.stopped_by

    def scores_learn(self) -> bool:
        """Tells whether scores learn in the step that is next.

        They do not once the masks stay as they are. With
        `steps_per_execution` they learn in all steps of a group or in none.
        """
        if self._model.pruning is None:
            return True
        model, progress = self._model, self._model.running_task.progress
        if progress.settled:
            return False
        in_cycle = progress.step % model.pruning.score_frequency
        return in_cycle < model.steps_per_execution

    def after_step(self, outputs: Any) -> None:
        """Looks at what a training step returned, then moves the masks."""
        stopping = self._model.stop_training
        self._watch.after_step(outputs, stopping)
        self._updates.after_step(outputs, self._model.steps_per_execution)


class _BetweenSteps(keras.callbacks.Callback):
    """Hears from Keras what happens between steps."""

    def __init__(self, watch: "_LossWatch", updates: MaskUpdates):
        super().__init__()
        self._watch = watch
        self._updates = updates

    def on_train_begin(self, logs=None):
        self._updates.begin()

    def on_epoch_begin(self, epoch, logs=None):
        self._watch.begin_epoch(epoch)
        self._updates.begin_epoch(epoch, self.params)

    def on_epoch_end(self, epoch, logs=None):
        self._watch.end_epoch(logs, self.model.stop_training)
        self._updates.end_epoch(logs)


class _LossWatch:
    """Ends `fit` with an error once the loss or a kernel is NaN or infinite.

    The loss is looked at every 50 steps and when an epoch ends: it is the mean
    over the epoch, and stays NaN. Where the user's
    `keras.callbacks.TerminateOnNaN` has stopped the training already, no error
    is raised, and `stopped_by` says why.
    """

    def __init__(self, kernels: list[MaskedKernel]):
        self._kernels = kernels
        self._outputs = None
        self._calls = self._epoch = 0
        self.stopped_by: str | None = None

    def begin_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def after_step(self, outputs: Any, stopping: bool) -> None:
        self._calls += 1
        if self._calls % LOOK_EVERY == 0:
            # Not this step's: `TerminateOnNaN` sees that after us.
            self._check_loss(self._outputs, stopping)
        self._outputs = outputs

    def end_epoch(self, logs: Any, stopping: bool) -> None:
        self._outputs = None
        self._check_loss(logs, stopping)
        if self.stopped_by is None:
            check_kernels(self._kernels)

    def _check_loss(self, outputs: Any, stopping: bool) -> None:
        loss = loss_of(outputs)
        if np.isfinite(loss):
            return
        message = f"The loss is {loss} in epoch {self._epoch + 1}: {REMEDY}"
        if not stopping:
            raise FloatingPointError(message)
        self.stopped_by = message


class TaskBefore:
    """The running task as it was before something that may fail.

    What a task begins with anew is not taken down before it has begun: its
    optimizer, and kernels unless they are those of the backbone. Nor is what
    its masks say.

    Args:
        of_training: Whether training may fail, which changes no fixed value.
    """

    def __init__(self, model: keras.Model, of_training: bool = True):
        self._task = model.running_task
        self._copy = self._task.copy()
        self._own = [mask.own for mask in self._task.masks]
        variables, begun = training_variables(model), self._task.begun
        kinds = ["private", "seed"]
        kinds += ["kernel"] if begun or not model.bank.tasks else []
        kinds += ["optimizer"] if begun else []
        kinds += [] if of_training else ["state"]
        self._values = Snapshot(v for kind in kinds for v in variables[kind])

    def restore(self) -> None:
        self._task.go_back_to(self._copy)
        for mask, own in zip(self._task.masks, self._own):
            mask.take(own)
            mask.apply()
        self._values.restore()


def training_variables(model: keras.Model) -> dict[str, list[keras.Variable]]:
    """Returns what is at work beyond the bank, by kind."""
    switch, task, optimizer = model.switch, model.running_task, []
    # A task that has not begun still has the optimizer of the one before.
    begun = task is None or task.begun
    if begun and model.compiled and model.optimizer.built:
        optimizer = model.optimizer.variables
    return {
        "kernel": switch.trained,
        "state": switch.state,
        "private": switch.private,
        "seed": seed_states(switch.backbone) + seed_states(switch.head),
        "optimizer": optimizer,
    }


def watch_gradients(model: keras.Model) -> None:
    """Lets masks see the squared gradients that the optimizer keeps."""
    for mask in model.running_task.masks:
        variable = mask.kernel.kernel
        mask.use_second_moment(
            functools.partial(second_moment, model.optimizer, variable)
        )


def check_kernels(kernels: list[MaskedKernel]) -> None:
    """Refuses kernels with NaN, which a ReLU can hide from the loss."""
    for kernel in kernels:
        if not np.isfinite(keras.ops.convert_to_numpy(kernel.kernel)).all():
            raise FloatingPointError(
                f"Kernel '{kernel.path}' has become NaN or infinite: {REMEDY}"
            )


def check_trainable(model: keras.Model, task: str | None) -> None:
    """Refuses to train what is not the running task."""
    if not model.compiled:
        raise ValueError("You must call `compile()` before calling `fit()`.")
    if model.optimizer is None:
        raise ValueError(
            "Training needs an optimizer. Compile the model with one, for "
            "example `optimizer='adam'`. Received: optimizer=None"
        )
    twin = model.optimizer_factory.make()
    check_learning_rate(model.optimizer, twin)
    if model.pruning is not None and model.pruning.needs_second_moments:
        twin.build([keras.Variable(0.0)])
        check_second_moments(twin)
    if task is not None:
        task = checks.known_task(task, list(model.tasks), to_train=True)
    running = model.running_task
    if running is None and not model.tasks:
        raise ValueError(
            "There is no task to train. Add one with "
            "`model.add_task(name, head)` before `fit`."
        )
    if running is None or task not in (None, running.name):
        raise ValueError(
            f"Task '{task or model.tasks[-1]}' is consolidated and never "
            "changes. Add a new task with `model.add_task(name, head)`."
        )


def check_batch(model: keras.Model, args: tuple, kwargs: dict) -> None:
    """Refuses to train a task on a batch that it cannot learn from.

    Or before `fit` has begun it.
    """
    check_trainable(model, None)
    running = model.running_task
    if not running.begun:
        raise ValueError(
            f"Task '{running.name}' has not begun. Call `model.fit` first: it "
            "chooses the slots that the task may use."
        )
    arguments = call_arguments.bound("train_on_batch", model, args, kwargs)
    x, y = arguments["x"], arguments.get("y")
    call_arguments.check_rows(arguments)
    check_arrays(x, "x")
    checks.check_examples(model, x, y, ("x", "y"))


def checked_training_data(model: keras.Model, data: Any) -> TrainingData:
    """Looks at `training_data` of `consolidate`: what `fit` takes.

    Raises:
        TypeError: If they are no data.
        ValueError: If the task cannot be trained with them.
    """
    names = ("x", "y", "sample_weight")
    columns = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    if not 1 <= len(columns) <= 3:
        raise ValueError(
            "`training_data` must be a tuple (x, y) or (x, y, sample_weight), "
            "a `tf.data.Dataset` or a `PyDataset`. Received a tuple of "
            f"{len(columns)}."
        )
    arguments = dict(zip(names, columns))
    call_arguments.check_kinds(arguments)
    arguments["batch_size"] = model.switch.batch_size
    checked = _checked_data(model, arguments)
    if checked.is_arrays:
        call_arguments.check_rows(arguments)
    if checked.is_read_once:
        raise ValueError(
            "`training_data` must be data that can be read more than once: "
            "arrays, a `tf.data.Dataset` or a `PyDataset`. Received: a "
            "generator"
        )
    return checked


def _checked_data(
    model: keras.Model, arguments: dict[str, Any]
) -> TrainingData:
    """Looks at the training data before anything is changed."""
    for name in ("x", "y", "sample_weight"):
        check_arrays(arguments.get(name), name, are_labels=name == "y")
    names = ("x", "y", "sample_weight", "batch_size")
    names += ("validation_split", "class_weight")
    data = TrainingData(*(arguments.get(name) for name in names))
    batches = data.first_batches(1)
    if not batches:
        raise ValueError("The training data are empty: `x` has no rows.")
    x, y, _ = batches[0]
    checks.check_has_targets(model, x, y)
    model.build_for(x)
    data.keep_batches_full(model.switch.batch_size)
    if not model.running_task.begun:
        checks.check_head(model.heads.head, model.switch.features)
    if data.is_arrays:
        x, y = data.x, data.y
    checks.check_examples(model, x, y, ("x", "y"))
    validation = arguments.get("validation_data")
    if isinstance(validation, (list, tuple)) and validation:
        inputs = model.switch.inputs
        check_casts(validation[0], inputs, "validation_data")
    return data
