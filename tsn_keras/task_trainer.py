"""A network that trains one task at a time."""

import copy
import dataclasses
import functools
import inspect
import warnings
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras import backbone_checks, input_checks
from tsn_keras.beginning import (
    divergences_of,
    room_for_task,
    start_values,
    statistics_of,
    take_plane,
)
from tsn_keras.distribution import (
    has_workers,
    in_strategy_scope,
    local_batch,
    of_first_worker,
    with_axis,
)
from tsn_keras.initialization import derived_seed, fresh_weights
from tsn_keras.layers.kernel_rule import Kernels
from tsn_keras.loss_callback import FiniteLossCallback, check_kernels
from tsn_keras.pruning import (
    Pruning,
    PruningScheduleCallback,
    check_second_moments,
    second_moment,
)
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.running_task import RunningTask
from tsn_keras.sharing import Never, PlaneChoice, Sharing
from tsn_keras.sharing_trial import try_planes
from tsn_keras.strategy_names import get_strategy
from tsn_keras.task_network import HeadFunctions, TaskNetwork
from tsn_keras.training_data import TrainingData
from tsn_keras.training_state import TrainingState

FLOAT_WIDTHS = (32, 32)
# What `fit` raises for data or a loss that no task can be trained with.
# Other errors, such as of a full disk, leave what was trained so far.
DATA_ERRORS = (
    ArithmeticError,
    TypeError,
    ValueError,
    tf.errors.InvalidArgumentError,
)


class TaskTrainer(TaskNetwork):
    """Starts tasks and trains the running one.

    The arguments are those of `ContinualModel`.
    """

    def __init__(
        self,
        backbone: keras.layers.Layer,
        pruning: Pruning | str | None = "magnitude",
        quantization: AdaptiveCodebook | str | None = "adaptive",
        sharing: Sharing | str | None = "activation_similarity",
        seed: int | None = None,
        kernels: Kernels = None,
        **kwargs: Any,
    ):
        pruning = get_strategy("pruning", pruning, Pruning)
        quantization = get_strategy(
            "quantization", quantization, AdaptiveCodebook
        )
        sharing = get_strategy("sharing", sharing, Sharing)
        scores = pruning is not None and pruning.learned_scores
        super().__init__(backbone, scores, kernels, **kwargs)
        self.pruning = pruning
        self.quantization = quantization
        self.sharing = sharing or Never()
        self.seed = seed
        self._make_optimizer = None

    def compile(self, *args, **kwargs) -> None:
        """Configures training; see `keras.Model.compile`.

        The optimizer's configuration is what each task starts with anew.
        """
        bound = inspect.signature(keras.Model.compile).bind(
            self, *args, **kwargs
        )
        used = [self.optimizer] if self.compiled else []
        used += [kept.optimizer for kept in self._kept.values()]
        input_checks.check_optimizer(bound.arguments.get("optimizer"), used)
        super().compile(*args, **kwargs)
        optimizer = self.optimizer
        # Keras would track a dictionary, and all that it has ever tracked
        # would be copied with it.
        self._make_optimizer = optimizer and functools.partial(
            _make_optimizer, keras.optimizers.serialize(optimizer)
        )
        self._kept.clear()
        self._functions = HeadFunctions()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    @in_strategy_scope
    def add_task(self, name: str, head: keras.layers.Layer) -> None:
        """Starts a new task, which becomes the active one.

        Args:
            name: str, not used before.
            head: `keras.layers.Layer`, the task's own output layer, applied
                to the backbone's features.

        Raises:
            TypeError: If the head is no layer.
            ValueError: If the name is in use, another task is running, or
                the head does not fit the backbone's features.
        """
        input_checks.check_task_name(name, list(self.tasks))
        if self._running is not None:
            raise ValueError(
                f"Task '{self._running.name}' is still running. Call "
                f"`model.consolidate(validation_data)` before adding '{name}'."
            )
        if not isinstance(head, keras.layers.Layer):
            raise TypeError(
                f"`head` must be a keras.layers.Layer. Received: {head!r}"
            )
        keeps_weights = head.built
        if self._features is not None:
            input_checks.check_head(head, self._features)
        task = RunningTask(name, self.heads.add(head), keeps_weights)
        self.prepare_task(task)
        if keeps_weights:
            for own, given in zip(self.heads.head.weights, head.weights):
                own.assign(given)

    def discard_task(self) -> None:
        """Gives up the running task; the bank stays as it is.

        Raises:
            ValueError: If no task is running.
        """
        if self._running is None:
            raise ValueError(
                "There is no running task to discard. Consolidated tasks "
                f"never change: {list(self.tasks)}"
            )
        self._running = self._at_work = None
        if self.tasks:
            self._install(self.tasks[-1])

    def prepare_task(self, task: RunningTask) -> None:
        """Makes a task the running one and its head the selected one."""
        self._select_head(task.head)
        self._running = task
        self._at_work = task.name

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
            PruningScheduleCallback.leave(self)
        if finite_loss.stopped:
            before.restore(self)
            warnings.warn(finite_loss.message, stacklevel=3)
        return history

    def make_train_function(self, force: bool = False) -> None:
        """Makes the training function, with a trace for each shape of batches.

        A function that was traced for another shape first may round another
        way. Then what a task learns would depend on the shapes of earlier
        ones, and on whether the model was loaded in between.
        """
        if self.train_function is not None and not force:
            return
        make, functions = super().make_train_function, {}

        def train(iterator):
            shapes = repr(getattr(iterator, "element_spec", None))
            if shapes not in functions:
                current = self.train_function
                make(force=True)
                functions[shapes] = self.train_function
                self.train_function = current
            return functions[shapes](iterator)

        self.train_function = train

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
            mask.second_moment = functools.partial(
                lambda variable: second_moment(self.optimizer, variable),
                mask.kernel.kernel,
            )

    def _check_trainable(self, task: str | None) -> None:
        """Refuses to train what is not the running task."""
        if not self.compiled:
            raise ValueError(
                "You must call `compile()` before calling `fit()`."
            )
        if self.pruning is not None and self.pruning.needs_second_moments:
            twin = self._make_optimizer()
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
        names = ("x", "y", "sample_weight", "batch_size")
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

    def _begin(self, data: TrainingData) -> None:
        """Chooses plane, slots and starting values of the running task."""
        if not self.bank.tasks:
            backbone_checks.check_reads(self.installation, self._inputs)
            self.bank.set_base(self.installation.base_values())
        choice = self._choose_plane(data)
        if choice.doubtful:
            choice = try_planes(self, choice, data, self._start)
        self._start(choice)

    def _choose_plane(self, data: TrainingData) -> PlaneChoice:
        divergences = {}
        if self.sharing.needs_statistics:
            sample = of_first_worker(data.sample(self.sharing.sample_size))

            def statistics(name):
                with self.working_as(name):
                    return statistics_of(self.installation, sample)

            divergences = divergences_of(self.bank, statistics)
        planes = {name: self.bank[name].plane for name in self.bank.tasks}
        return self.sharing.choose(planes, divergences)

    def _start(self, choice: PlaneChoice) -> None:
        """Puts the running task at the start of its training on a plane."""
        task = dataclasses.replace(self._running)
        number = len(self.bank.tasks)
        take_plane(task, choice, self.bank)
        widths = FLOAT_WIDTHS
        if self.quantization is not None:
            widths = self.quantization.min_width, self.quantization.max_width
        room_for_task(task, self.installation, self.bank, self.pruning, widths)
        if self.seed is not None:
            keras.utils.set_random_seed(derived_seed(self.seed, number))
        if not task.keeps_head:
            head = self.heads.head
            fresh = fresh_weights(head, self._features)
            for variable, value in zip(head.weights, fresh):
                variable.assign(value)
        start_values(
            task, self.installation, self.bank, self._inputs, self.seed
        )
        for mask in task.masks:
            mask.apply()
        self._start_optimizer()
        task.begun = True
        self._running = task

    def _start_optimizer(self) -> None:
        """Gives the task an optimizer with no memory of earlier ones.

        An optimizer that was traced already keeps its variables, whose values
        start again, so that nothing needs to be traced again.
        """
        fresh = self._make_optimizer()
        if self.train_function is None:
            if self.optimizer.built:
                self.optimizer = fresh
            return
        fresh.build(self.trainable_variables)
        for variable, start in zip(self.optimizer.variables, fresh.variables):
            variable.assign(start)


def _make_optimizer(config: dict[str, Any]) -> keras.optimizers.Optimizer:
    # Keras takes an entry out of a loss-scaling optimizer's configuration.
    return keras.optimizers.deserialize(copy.deepcopy(config))
