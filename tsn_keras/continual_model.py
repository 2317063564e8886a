"""The model that users see: each step of a task's life is one method."""

import functools
import os
from collections.abc import Sequence
from typing import Any

import keras
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.bank import Capacity, WeightBank
from tsn_keras.data import (
    check_tolerance,
    check_validation_data,
    dtype_name,
)
from tsn_keras.distribution import in_strategy_scope
from tsn_keras.inference import Inference, InferredTasks, get_scores
from tsn_keras.layers import (
    Heads,
    Kernels,
    call_given,
    counting_parameters,
    given_value,
    has_given_values,
    subnetworks,
    with_subnetwork,
)
from tsn_keras.lite import task_file
from tsn_keras.lite.other_formats import export_other
from tsn_keras.pruning import PruningStrategy
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.saving import archive, model_file, refusals, seal, stores
from tsn_keras.sharing import Never, Sharing
from tsn_keras.strategies import PRUNING, get_strategy
from tsn_keras.tasks import checks, removal, start, training
from tsn_keras.tasks.call_arguments import (
    checked_call,
    compile_arguments,
    on_batch_of_latest,
)
from tsn_keras.tasks.changes import Changes, changes_model
from tsn_keras.tasks.compiled_heads import CompiledHeads, PerHead, as_reader
from tsn_keras.tasks.consolidation import (
    all_or_nothing,
    announced,
    check_consolidatable,
    consolidate_task,
)
from tsn_keras.tasks.inferred_prediction import (
    evaluate_inferred,
    or_inferred,
    predict_inferred,
)
from tsn_keras.tasks.kept_examples import KeptExamples
from tsn_keras.tasks.optimizer import OptimizerFactory
from tsn_keras.tasks.report import TaskReport, make_report, print_tasks
from tsn_keras.tasks.running_task import RunningTask
from tsn_keras.tasks.task_inference import infer_task, learn_inference
from tsn_keras.tasks.task_switch import TaskSwitch, inputs_from_config
from tsn_keras.tasks.task_view import TaskView
from tsn_keras.tasks.train_function import TrainFunction

# Attributes whose state is kept in the bank or in the training state.
# Keras would find and save them a second time, dense kernels included.
_STORED_ELSEWHERE = frozenset(
    ("backbone", "heads", "layers", "optimizer", "metrics", "_loss_tracker")
    + keras_internals.COMPILED_FOR_OUTPUTS
)


@keras.saving.register_keras_serializable(package="tsn_keras")
@keras_internals.trains_with_workers
@keras_internals.saved_with_more_than_variables(refusals.refuse_variables_alone)
@keras_internals.compiles_outputs(PerHead, as_reader)
class ContinualModel(keras.Model):
    """Learns task after task in one network, and forgets nothing.

    Each task gets a sparse subnetwork of the backbone's kernels, stored as
    codes of a few bits, and private copies of all other variables. What an
    earlier task stored never changes (TinySubNets: Pietron et al., arXiv
    2412.10869).

    A task begins with `add_task`, is trained with `fit`, as a dense network,
    and ends with `consolidate`, which finds how few slots and bits hold it.

    Args:
        backbone: `keras.layers.Layer` or `keras.Model` that turns inputs into
            features. It is wrapped in `tsn_keras.layers.Subnetwork`, unless it
            holds such layers already.
        pruning: `tsn_keras.pruning` strategy or its name, such as
            `"adaptive_sparsity"` or `"magnitude"`; `None` for full masks.
        quantization: `tsn_keras.quantization.AdaptiveCodebook`, `"adaptive"`,
            or `None` for float32 values.
        sharing: `tsn_keras.sharing` strategy, `"activation_similarity"`,
            `"always"`, `"warm_start"`, `"never"`, or `None`, which is never.
        seed: With a seed, what a task learns depends on the seed, the number
            of the task and the backbone's first values alone, whether it was
            interrupted or not. For that `fit` sets the global seeds
            (`keras.utils.set_random_seed`). Set them before you build the
            backbone, too, if a run is to be repeated.
        kernels: Which weights are kernels, to be pruned and quantized, as
            `tsn_keras.layers.KernelRule` takes it; all others are private or,
            if frozen, shared as they are. By default all weights of two or
            more axes named `embeddings` or `...kernel`.
        tolerance: What `consolidate` may lose of the quality that `fit`
            reached, on the validation data: 0.01 is one percentage point of an
            accuracy or the like, and 1 % of the value of a loss or an error.
        inference: `tsn_keras.inference` score, `"confidence"`,
            `"input_means"`, or a list of them, which tell what task an input
            is of; see `infer_task`. `None` stores nothing for that.
        **kwargs: Base model keyword arguments, such as `name`.

    `pruning`, `quantization` and `sharing` may be exchanged between two tasks.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((8,)), keras.layers.Dense(16, activation="relu")]
    ... )
    >>> model = tsn_keras.ContinualModel(backbone, pruning=None)
    >>> model.compile("adam", "mse")
    >>> model.add_task("a", head=keras.layers.Dense(1))
    >>> x, y = np.ones((32, 8)), np.ones((32, 1))
    >>> _ = model.fit(x, y, verbose=0)
    >>> report = model.consolidate((x, y), verbose=0)
    >>> model.predict(x, task="a", verbose=0).shape
    (32, 1)
    """

    train_function = PerHead()
    test_function = PerHead()
    predict_function = PerHead()
    stop_evaluating = PerHead()
    stop_predicting = PerHead()
    optimizer = PerHead()
    loss = PerHead()

    def __init__(
        self,
        backbone: keras.layers.Layer,
        pruning: PruningStrategy | str | None = "adaptive_sparsity",
        quantization: AdaptiveCodebook | str | None = "adaptive",
        sharing: Sharing | str | None = "activation_similarity",
        seed: int | None = None,
        kernels: Kernels = None,
        tolerance: float = 0.01,
        inference: Inference | str | list | None = "confidence",
        **kwargs: Any,
    ):
        heads = Heads()
        self.changes = Changes()
        # Keras sets the attributes of heads from its own `__init__` on.
        self.compiled_heads = CompiledHeads(heads)
        super().__init__(**kwargs)
        self.pruning = get_strategy("pruning", pruning, *PRUNING)
        self.quantization = get_strategy(
            "quantization", quantization, AdaptiveCodebook
        )
        self.sharing = get_strategy("sharing", sharing, Sharing) or Never()
        self.inference = get_scores(inference)
        self.seed = checks.checked_seed(seed)
        self.tolerance = check_tolerance(tolerance)
        checks.check_backbone(backbone)
        scores = self.pruning is not None and self.pruning.learned_scores
        self._wraps_backbone = not subnetworks(backbone)
        self.backbone = with_subnetwork(backbone, scores, kernels)
        self.heads = heads
        self.bank: WeightBank | None = None
        self.switch = TaskSwitch(self)
        self.kept_examples = KeptExamples()
        self.seal = seal.Seal()
        self.training: training.Training | None = None
        self.optimizer_factory: OptimizerFactory | None = None
        declared = self.switch.declared_inputs()
        if declared is not None:
            self.build_for(declared)
        checks.claim_backbone(self, self.backbone)

    # The network.

    def build_for(self, inputs: Any) -> None:
        """Creates all variables but those of heads, if there are none yet.

        Args:
            inputs: Nest of arrays or `KerasTensor`, batch first.
        """
        if not self.switch.is_built:
            self.switch.build(tree.map_structure(_any_batch, inputs))
            self.bank = self.switch.empty_bank()
            self.built = True

    def build(self, input_shape: Any) -> None:
        self.build_for(keras.KerasTensor(input_shape))
        self.built = True

    def get_build_config(self) -> dict[str, Any] | None:
        return self.switch.get_build_config()

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        if config:
            self.build_for(inputs_from_config(config))

    def call(self, inputs, training=None):
        if self.heads.selected is None:  # In a model that Keras loads.
            self.switch.select_head(self.seal.head())
        self.switch.check_computes(inputs)
        return self.heads(call_given(self.backbone, self.switch.taken(inputs)))

    @property
    def losses(self) -> list:
        if not has_given_values():
            return super().losses
        return keras_internals.losses_with(self, given_value)

    @changes_model
    def set_weights(self, weights: list) -> None:
        """Sets what is at work now. Consolidated tasks do not change."""
        checks.check_weights(self, weights)
        super().set_weights(weights)
        if self.running_task is None:
            self.switch.forget()

    # The life of a task.

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks in order, the running one last."""
        stored = self.bank.tasks if self.bank else ()
        running = self.running_task
        return stored if running is None else (*stored, running.name)

    @property
    def running_task(self) -> RunningTask | None:
        """The task between `add_task` and `consolidate`, if there is one."""
        return self.switch.running

    @changes_model
    def compile(self, *args, **kwargs) -> None:
        """Configures training; see `keras.Model.compile`.

        Each task starts with such an optimizer anew. Its learning rate may be
        set to another number after `add_task`, for that task.
        """
        arguments = compile_arguments(self, args, kwargs)
        with self.compiled_heads.compiling(arguments):
            super().compile(*args, **kwargs)
        factory = self.optimizer and OptimizerFactory(self.optimizer)
        self.optimizer_factory = factory

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        tasks = {"tasks": self.compiled_heads.get_config()} if config else {}
        return seal.sealed_compile({**config, **tasks}, self)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        config = seal.unsealed_compile(config, self)
        tasks = config.pop("tasks", None)
        self.compile(**keras.saving.deserialize_keras_object(config))
        if tasks:
            self.compiled_heads.load_config(tasks)

    @changes_model
    @in_strategy_scope
    def add_task(
        self,
        name: str,
        head: keras.layers.Layer,
        loss: Any = None,
        metrics: Any = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Starts a new task, which becomes the active one.

        Args:
            name: Not used before.
            head: The task's own output layer, applied to the backbone's
                features.
            loss: As in `compile`; the task's own ever after. By default what
                was compiled.
            metrics: Likewise.
            class_names: A name for each output of the head, stored with the
                task and written into its files. One output may have two.

        Raises:
            TypeError: If the head is no layer.
            ValueError: If the name is in use, another task is running, or
                the head does not fit the features, or the class names.
        """
        start.add_task(self, name, head, loss, metrics, class_names)

    @changes_model
    def discard_task(self) -> None:
        """Gives up the running task; the bank stays as it is.

        If it is the first one, the backbone gets its earlier weights back. A
        model that was loaded in the middle of its first task has lost them.
        """
        start.discard_task(self)

    @changes_model
    @in_strategy_scope
    def fit(self, *args, task: str | None = None, **kwargs):
        """Trains the running task; see `keras.Model.fit`.

        The first call for a task chooses its plane and its starting values. A
        strategy with a schedule prunes meanwhile. If the data cannot be
        learned from or the loss is NaN, the task is as it was before.

        Args:
            *args: As in `keras.Model.fit`, as is all that follows.
            task: The running task's name; it need not be given.
        """
        try:
            with training.training_of(self, task, args, kwargs) as begun:
                self.training = begun
                return super().fit(**begun.arguments)
        finally:
            self.training = None

    def make_train_function(self, force: bool = False) -> None:
        if self.train_function is None or force:
            self.train_function = TrainFunction(self)

    @changes_model
    @checked_call
    def train_on_batch(self, *args, **kwargs):
        """Trains the running task, begun with `fit`; see `keras.Model`."""
        training.check_batch(self, args, kwargs)
        return super().train_on_batch(*args, **kwargs)

    @changes_model
    @in_strategy_scope
    def consolidate(
        self,
        validation_data: Any,
        monitor: str | None = None,
        mode: str = "auto",
        verbose: str | int = "auto",
        training_data: Any = None,
    ) -> TaskReport:
        """Ends the running task: prunes, quantizes, packs and freezes it.

        Callbacks of the last `fit` get `on_consolidate_stage(done, stages)` and
        then `on_consolidate_end(report)`, if they have them. Ctrl-C ends a
        search with the best that was found, or leaves the task as it was.

        Args:
            validation_data: As in `keras.Model.fit`: tuple of arrays,
                `tf.data.Dataset` or `PyDataset`; not used for training.
            monitor: Name of the loss or metric to keep within tolerance. By
                default the first compiled metric, or the loss if the head has
                several outputs.
            mode: `"min"` or `"max"`, whether lower or higher is better, or
                `"auto"` to tell it as callbacks do: by the metric's own
                direction if it has one, else by its name.
            verbose: As in `keras.Model.fit`.
            training_data: `(x, y)`, a `tf.data.Dataset` or a `PyDataset` to
                train with meanwhile; by default those of the last `fit`.

        Returns:
            `TaskReport` of the task.

        Raises:
            TypeError: If the data are sparse matrices or text.
            ValueError: If no task was trained or the data cannot be used. The
                bank is then as it was.
        """
        check_consolidatable(self)
        check_validation_data(validation_data)
        task = self.running_task
        with all_or_nothing(self):
            record = consolidate_task(
                self, validation_data, training_data, monitor, mode, verbose
            )
            self.bank.add(record)
        return announced(self.report(task.name), task.callbacks)

    @changes_model
    @in_strategy_scope
    def remove_task(self, name: str) -> None:
        """Forgets a consolidated task; all others keep every bit.

        What they share of it stays theirs. Files saved before still hold it.

        Raises:
            ValueError: If it is the only task, or another one is running.
        """
        removal.remove_task(self, name)

    @changes_model
    def learn_inference(self, task: str, validation_data: Any) -> None:
        """Stores what tells a consolidated task apart, by `inference`."""
        learn_inference(self, task, validation_data)

    # What was learned.

    def infer_task(
        self,
        x: Any,
        tasks: Sequence[str] | None = None,
        batch: str = "example",
        max_tasks: int | None = None,
    ) -> InferredTasks:
        """Finds the task of each example, for a model with `inference`.

        Args:
            x: Inputs: a nest of arrays, or a data set.
            tasks: Names to choose from; by default all that are consolidated.
            batch: `"example"`, or `"together"` if all are of one task.
            max_tasks: How many tasks predict an example at most. By default
                all that scores without predictions do not rule out.
        """
        return infer_task(self, x, tasks, batch, max_tasks)

    def report(self, task: str) -> TaskReport:
        """Returns the report of a consolidated task."""
        task = checks.consolidated_task(self, task)
        return make_report(self.bank, task)

    def task(self, name: str) -> TaskView:
        """Returns a consolidated task to serve, from any number of threads."""
        return TaskView(self, name)

    @in_strategy_scope
    @or_inferred(evaluate_inferred)
    @checked_call
    def evaluate(self, *args, task: str | None = None, **kwargs):
        """Evaluates a task, by default the latest; see `keras.Model`.

        `task="infer"` is the most likely one of each example.
        """
        with self.switch.answering(task):
            return super().evaluate(*args, **kwargs)

    @in_strategy_scope
    @or_inferred(predict_inferred)
    @checked_call
    def predict(self, *args, task: str | None = None, **kwargs):
        """Predicts as a task, by default the latest; see `keras.Model`.

        `task="infer"` is the most likely one of each example; then
        `return_tasks=True` returns `(outputs, tasks)`.
        """
        with self.switch.answering(task):
            return super().predict(*args, **kwargs)

    test_on_batch = on_batch_of_latest("test_on_batch")
    predict_on_batch = on_batch_of_latest("predict_on_batch")

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        task: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Exports one consolidated task; see `keras.Model.export`.

        The file appears under its name only when it is complete.

        Args:
            filepath: Ends in `.tflite` for `litert`.
            format: `"litert"` or a format of `keras.Model.export`.
            task: The task's name; the latest one by default.
            **kwargs: For `litert` as in `tsn_keras.lite.export_task`, such as
                `precision` and `batch_size`; else as in `keras.Model.export`.

        Returns:
            `tsn_keras.lite.ExportReport` for `litert`, else `None`.
        """
        if format == "litert":
            kwargs.pop("verbose", None)
            return task_file.export_task(self, filepath, task, **kwargs)
        return export_other(self, filepath, format, task, **kwargs)

    def capacity(self) -> Capacity:
        """Returns the bytes of the whole saved bank, by kind.

        A saved `.keras` file has `total_bytes` and the architecture, deflated.
        """
        return archive.capacity_of(self)

    count_params = counting_parameters()(keras.Model.count_params)

    @counting_parameters()
    def summary(self, *args, print_fn=None, **kwargs) -> None:
        """Prints the network and, for each task and kernel, what it uses."""
        super().summary(*args, print_fn=print_fn, **kwargs)
        print_tasks(self.bank, print_fn or print)

    # Saved and loaded.

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        backbone, kernels = self.backbone, None
        if self._wraps_backbone:
            kernels = backbone.kernel_rule.config
            backbone = backbone.layer
        with self.switch.trainable_as_made():
            backbone = serialize(backbone)
        config = {
            "name": self.name,
            "backbone": backbone,
            "heads": self.heads.get_config()["heads"],
            "pruning": serialize(self.pruning),
            "quantization": serialize(self.quantization),
            "sharing": serialize(self.sharing),
            "seed": self.seed,
            "kernels": kernels,
            "tolerance": self.tolerance,
            "inference": list(map(serialize, get_scores(self.inference))),
            "inputs": self.switch.undeclared_inputs(),
        }
        return seal.sealed(config, self)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        config, expected = seal.unsealed(config)
        heads, inputs = config.pop("heads", []), config.pop("inputs", None)
        deserialize = keras.saving.deserialize_keras_object
        config["backbone"] = deserialize(config["backbone"], custom_objects)
        model = cls(**config)
        model.switch.take_undeclared_inputs(deserialize(inputs))
        for head in heads:
            model.heads.add(deserialize(head, custom_objects))
        model.seal.expect(expected)
        return model

    def __dir__(self):
        return [n for n in super().__dir__() if n not in _STORED_ELSEWHERE]

    def save(
        self,
        filepath: str | os.PathLike,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves the model; see `keras.Model.save`.

        A `.keras` file appears only when it is complete.
        """
        plain = functools.partial(super().save, zipped=zipped, **kwargs)
        model_file.save(self, filepath, overwrite, zipped, plain)

    @changes_model
    def load_weights(self, filepath: str | os.PathLike, **kwargs: Any) -> None:
        """Loads all tasks of a file that `save` or `save_weights` made."""
        plain = functools.partial(super().load_weights, **kwargs)
        model_file.load_weights(self, filepath, plain)

    def save_own_variables(self, store) -> None:
        stores.save_model(store, self)

    @changes_model
    def load_own_variables(self, store) -> None:
        stores.load_model(store, self)

    def save_assets(self, path: str) -> None:
        stores.save_assets(path, self)

    def load_assets(self, path: str | None) -> None:
        if path is not None:
            stores.load_assets(path, self)


def _any_batch(part: Any) -> keras.KerasTensor:
    dtype = dtype_name(part.dtype)
    if keras.backend.is_float_dtype(dtype):
        # Layers get no others from Keras.
        dtype = keras.config.floatx()
    name = part.name if isinstance(part, keras.KerasTensor) else None
    return keras.KerasTensor((None, *part.shape[1:]), dtype, name=name)
