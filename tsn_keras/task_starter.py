"""A network that starts one task after the other."""

import dataclasses
import functools
import inspect
from typing import Any

import keras

from tsn_keras import backbone_checks, input_checks
from tsn_keras.beginning import (
    divergences_of,
    room_for_task,
    start_values,
    statistics_of,
    take_plane,
)
from tsn_keras.compiled_outputs import CompiledOutputs
from tsn_keras.distribution import in_strategy_scope, of_first_worker
from tsn_keras.initialization import derived_seed, fresh_weights
from tsn_keras.layers.kernel_rule import Kernels
from tsn_keras.layers.masked_kernel import read
from tsn_keras.pruning import Pruning
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.running_task import RunningTask
from tsn_keras.sharing import Never, PlaneChoice, Sharing
from tsn_keras.sharing_trial import predicts_labels, try_planes
from tsn_keras.strategies import get_strategy
from tsn_keras.task_inference import TaskInference
from tsn_keras.task_network import HeadFunctions
from tsn_keras.task_optimizer import (
    exclude_from_decay_too,
    make_optimizer,
    parts_of_optimizer,
    take_learning_rate,
)
from tsn_keras.training_data import TrainingData
from tsn_keras.training_state import KeptArrays

FLOAT_WIDTHS = (32, 32)
# Arguments of `compile` that depend on a task's outputs.
FOR_OUTPUTS = ("loss", "loss_weights", "metrics", "weighted_metrics")


class TaskStarter(TaskInference):
    """Adds tasks, and brings each to the start of its training.

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
        # The backbone's own weights, while the first task trains them.
        self._first_start: KeptArrays | None = None

    def compile(self, *args, **kwargs) -> None:
        """Configures training; see `keras.Model.compile`.

        The optimizer's configuration is what each task starts with anew. Its
        learning rate may be set to another number after `add_task`, for that
        task.
        """
        bound = inspect.signature(keras.Model.compile).bind(
            self, *args, **kwargs
        )
        used = [self.optimizer] if self.compiled else []
        used += [kept.optimizer for kept in self._kept.values()]
        input_checks.check_optimizer(bound.arguments.get("optimizer"), used)
        super().compile(*args, **kwargs)
        self._compiled_outputs = CompiledOutputs(
            *(bound.arguments.get(name) for name in FOR_OUTPUTS)
        )
        self._name_outputs()
        # Keras would track a dictionary, and all that it has ever tracked
        # would be copied with it.
        self._make_optimizer = self.optimizer and functools.partial(
            make_optimizer, *parts_of_optimizer(self.optimizer)
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
        if self.compiled and self.optimizer is not None:
            # From here on it is the user's, until the task is consolidated.
            take_learning_rate(self.optimizer, self._make_optimizer())

    def discard_task(self) -> None:
        """Gives up the running task; the bank stays as it is.

        If it is the first one, the backbone gets the weights back that it had
        before it was trained. A model that was loaded in the middle of its
        first task no longer has them, and the backbone keeps what it learned.

        Raises:
            ValueError: If no task is running.
        """
        if self._running is None:
            raise ValueError(
                "There is no running task to discard. Consolidated tasks "
                f"never change: {list(self.tasks)}"
            )
        begun = self._running.begun
        self._running = self._at_work = None
        if self.tasks:
            self._install(self.tasks[-1])
        elif begun and self._first_start is not None:
            for variable, value in zip(self._own_weights, self._first_start):
                variable.assign(value)
            self._first_start = None

    @property
    def _own_weights(self) -> list[keras.Variable]:
        """The weights that the backbone had when the model was made."""
        work = self.installation
        kernels = [
            variable
            for kernel in work.kernels
            for variable in (kernel.kernel, kernel.scores)
            if variable is not None
        ]
        return kernels + work.private_of_backbone

    def prepare_task(self, task: RunningTask) -> None:
        """Makes a task the running one and its head the selected one."""
        self._select_head(task.head)
        self._running = task
        self._at_work = task.name

    def _begin(self, data: TrainingData) -> None:
        """Chooses plane, slots and starting values of the running task."""
        if not self.bank.tasks:
            backbone_checks.check_reads(self.installation, self._inputs)
            self.bank.set_base(self.installation.base_values())
        task = self._running
        try:
            with data.untouched():
                choice = self._choose_plane(data)
                if choice.doubtful and not predicts_labels(self, choice, data):
                    choice = try_planes(self, choice, data, self._start)
            self._start(choice)
        except BaseException:
            # A trial that was interrupted has decided nothing.
            self._running = task
            raise

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
        if not number:
            self._first_start = KeptArrays(map(read, self._own_weights))
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

        A learning rate that was set since the task was added stays. An
        optimizer that was traced already keeps its variables, whose values
        start again, so that nothing needs to be traced again.
        """
        fresh = self._make_optimizer()
        take_learning_rate(fresh, self.optimizer)
        exclude_from_decay_too(fresh, self.optimizer)
        if self.train_function is None:
            if self.optimizer.built:
                self.optimizer = fresh
            return
        fresh.build(self.trainable_variables)
        for variable, start in zip(self.optimizer.variables, fresh.variables):
            variable.assign(start)
