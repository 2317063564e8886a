"""A network that trains one task at a time."""

import contextlib
import functools
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras import followed_function, input_checks
from tsn_keras.distribution import (
    has_workers,
    in_strategy_scope,
    local_batch,
    with_axis,
)
from tsn_keras.initialization import derived_seed
from tsn_keras.loss_callback import FiniteLossCallback, check_kernels
from tsn_keras.pruning import (
    PruningScheduleCallback,
    check_second_moments,
    second_moment,
)
from tsn_keras.step_function import make_step_function
from tsn_keras.task_optimizer import check_learning_rate
from tsn_keras.task_starter import TaskStarter
from tsn_keras.training_data import TrainingData
from tsn_keras.training_state import TrainingState

# What `fit` raises for data or a loss that no task can be trained with.
# Other errors, such as of a full disk, leave what was trained so far.
DATA_ERRORS = (
    ArithmeticError,
    TypeError,
    ValueError,
    tf.errors.InvalidArgumentError,
)


class TaskTrainer(TaskStarter):
    """Trains the running task.

    The arguments are those of `ContinualModel`.
    """

    @in_strategy_scope
    def fit(self, *args, task: str | None = None, **kwargs):
        """Trains the running task; see `keras.Model.fit`.

        The first call for a task chooses its plane and its starting values.
        Pruning follows its schedule over the epochs of that call. If the
        data cannot be learned from or the loss is NaN, the task is as it was
        before the call.

        Args:
            *args: As in `keras.Model.fit`.
            task: str or `None`. The running task's name, if given.
            **kwargs: As in `keras.Model.fit`.

        Returns:
            `keras.callbacks.History`.
        """
        self._check_trainable(task)
        bound = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs)
        arguments = dict(bound.arguments)
        del arguments["self"]
        data = self._checked_data(arguments)
        self.installation.check_base()
        before = TrainingState(self)
        # Keras never forgets at which epoch `BackupAndRestore` went on.
        self._initial_epoch = None
        try:
            if not self._running.begun:
                self._begin(data)
            running = self._running
            if self.seed is not None:
                keras.utils.set_random_seed(
                    derived_seed(self.seed, len(self.bank.tasks), running.fits)
                )
            running.fits += 1
            running.data = data
            arguments["x"] = data.x
            finite_loss = FiniteLossCallback(self.installation.kernels)
            given = self._given_callbacks(arguments.get("callbacks"))
            running.callbacks = given
            arguments["callbacks"] = [
                *given,
                finite_loss,
                *self._schedule_callbacks(),
            ]
            history = super().fit(**arguments)
        except DATA_ERRORS as error:
            try:
                if not isinstance(error, FloatingPointError):
                    check_kernels(self.installation.kernels)
                input_checks.explain_label_error(error)
            finally:
                before.restore(self)
            raise
        finally:
            followed_function.leave(self)
        if finite_loss.stopped:
            before.restore(self)
            warnings.warn(finite_loss.message, stacklevel=3)
        return history

    def make_train_function(self, force: bool = False) -> None:
        """Makes the training function, with a trace for each shape of batches.

        A function that was traced for another shape first may round another
        way. Then what a task learns would depend on the shapes of earlier
        ones, and on whether the model was loaded in between.

        Steps in which scores learn have traces of their own.
        """
        if self.train_function is not None and not force:
            return
        functions = {}
        # The same specification comes with each step of an epoch.
        last_key, function = (object(), None), None

        def train(iterator):
            nonlocal last_key, function
            spec = getattr(iterator, "element_spec", None)
            scores = self._scores_learn()
            if spec is not last_key[0] or scores is not last_key[1]:
                key = repr(spec), scores
                if key not in functions:
                    functions[key] = make_step_function(self, self.train_step)
                last_key, function = (spec, scores), functions[key]
            if scores:
                return function(iterator)
            with self._fixed_scores():
                return function(iterator)

        self.train_function = train

    def _scores_learn(self) -> bool:
        """Tells whether scores learn in the step that is next.

        They do not once the masks stay as they are. With
        `steps_per_execution` they learn in all steps of a group or in none.
        """
        if self.pruning is None or not followed_function.is_followed(self):
            return True
        step = self._running.progress.step
        if self._running.progress.settled:
            return False
        return step % self.pruning.score_frequency < self.steps_per_execution

    @contextlib.contextmanager
    def _fixed_scores(self) -> Iterator[None]:
        """Traces functions that leave the scores alone."""
        with contextlib.ExitStack() as stack:
            for kernel in self.installation.kernels:
                stack.enter_context(kernel.fixed_scores())
            yield

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Keras 3.15 fails here with several workers.
        if iterator is not None and has_workers(self.distribute_strategy):
            iterator, data_batch = None, local_batch(iterator)
        super()._maybe_symbolic_build(iterator, data_batch)

    def _make_function(self, step_function):
        if has_workers(self.distribute_strategy):
            step_function = with_axis(step_function)
        return super()._make_function(step_function)

    def train_on_batch(self, *args, **kwargs):
        """Trains the running task, begun with `fit`, on one batch.

        See `keras.Model.train_on_batch`.
        """
        self._check_trainable(None)
        if not self._running.begun:
            raise ValueError(
                f"Task '{self._running.name}' has not begun. Call `model.fit` "
                "first: it chooses the slots that the task may use."
            )
        return super().train_on_batch(*args, **kwargs)

    @staticmethod
    def _given_callbacks(given: Any) -> list[keras.callbacks.Callback]:
        # The user's list may serve another task, with other masks than ours.
        if isinstance(given, keras.callbacks.CallbackList):
            given = given.callbacks
        return tree.flatten(given or [])

    def _schedule_callbacks(self) -> list[keras.callbacks.Callback]:
        if self.pruning is None:
            return []
        self.watch_gradients()
        masks, progress = self._running.masks, self._running.progress
        return [PruningScheduleCallback(self.pruning, masks, progress)]

    def watch_gradients(self) -> None:
        """Lets masks see the squared gradients that the optimizer keeps."""
        for mask in self._running.masks:
            mask.use_second_moment(
                functools.partial(
                    lambda variable: second_moment(self.optimizer, variable),
                    mask.kernel.kernel,
                )
            )

    def _check_trainable(self, task: str | None) -> None:
        """Refuses to train what is not the running task."""
        if not self.compiled:
            raise ValueError(
                "You must call `compile()` before calling `fit()`."
            )
        if self.optimizer is None:
            raise ValueError(
                "Training needs an optimizer. Compile the model with one, for "
                "example `optimizer='adam'`. Received: optimizer=None"
            )
        twin = self._make_optimizer()
        check_learning_rate(self.optimizer, twin)
        if self.pruning is not None and self.pruning.needs_second_moments:
            twin.build([keras.Variable(0.0)])
            check_second_moments(twin)
        if task is not None:
            input_checks.check_known(task, list(self.tasks))
        if self._running is None and not self.tasks:
            raise ValueError(
                "There is no task to train. Add one with "
                "`model.add_task(name, head)` before `fit`."
            )
        if self._running is None or task not in (None, self._running.name):
            raise ValueError(
                f"Task '{task or self.tasks[-1]}' is consolidated and never "
                "changes. Add a new task with `model.add_task(name, head)`."
            )

    def _checked_data(self, arguments: dict[str, Any]) -> TrainingData:
        """Looks at the training data before anything is changed."""
        for name in ("x", "y", "sample_weight"):
            input_checks.check_arrays(arguments.get(name), name)
        names = ("x", "y", "sample_weight", "batch_size")
        names += ("validation_split", "class_weight")
        data = TrainingData(*(arguments.get(name) for name in names))
        batches = data.first_batches(1)
        if not batches:
            raise ValueError("The training data are empty: `x` has no rows.")
        x, y, _ = batches[0]
        if self._inputs is None:
            self._build_backbone(x)
        if not self._running.begun:
            input_checks.check_head(self.heads.head, self._features)
        if data.is_arrays:
            x, y = data.x, data.y
        self.check_examples(x, y, ("x", "y"))
        return data
