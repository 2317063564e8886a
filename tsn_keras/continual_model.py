"""The life of a task, as a Keras model."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tsn_keras import archive, input_checks, saving
from tsn_keras.bank import Capacity, TaskRecord
from tsn_keras.batch_loop import BatchLoop
from tsn_keras.beginning import statistics_of
from tsn_keras.consolidation import Consolidation
from tsn_keras.distribution import in_strategy_scope
from tsn_keras.initialization import derived_seed
from tsn_keras.quantization.centroid_tuning import CentroidTuning
from tsn_keras.running_task import RunningTask
from tsn_keras.summary_table import print_tasks
from tsn_keras.task_report import TaskReport, make_report
from tsn_keras.task_trainer import TaskTrainer
from tsn_keras.validation import Validation, evaluation_loop

# Attributes whose state is kept in the bank or in the training state.
# Keras would find and save them a second time, dense kernels included.
STORED_ELSEWHERE = frozenset(
    ("backbone", "heads", "layers", "optimizer", "metrics", "installation")
    + ("_compile_metrics", "_compile_loss", "_loss_tracker", "_kept")
)


@keras.saving.register_keras_serializable(package="tsn_keras")
class ContinualModel(TaskTrainer):
    """Learns task after task in one network, and forgets nothing.

    Each task gets a sparse subnetwork of the backbone's kernels, stored as
    codes of a few bits, and private copies of all other variables. What an
    earlier task stored never changes (TinySubNets: Pietron et al., arXiv
    2412.10869).

    A task begins with `add_task`, is trained with `fit` and ends with
    `consolidate`. Then `evaluate`, `predict` and `export` give the same bits
    for it whatever is learned later.

    Args:
        backbone: `keras.layers.Layer` or `keras.Model` that turns inputs into
            features. It is wrapped in `tsn_keras.layers.Subnetwork`, unless it
            holds such layers already.
        pruning: `tsn_keras.pruning` strategy, `"magnitude"`, `"scores"`, or
            `None` for full masks.
        quantization: `tsn_keras.quantization.AdaptiveCodebook`, `"adaptive"`,
            or `None` for float32 values.
        sharing: `tsn_keras.sharing` strategy, `"activation_similarity"`,
            `"always"`, `"warm_start"`, `"never"`, or `None`, which is never.
        seed: int or `None`. With a seed, what a task starts from and the
            order of its training depend on the seed and the number of the
            task alone, so that learning is the same whether it was
            interrupted or not. For that `fit` sets the global seeds, as
            `keras.utils.set_random_seed` does.
        kernels: Which weights are kernels, to be pruned and quantized; all
            others are private or, if frozen, shared as they are. `None` for
            all weights of two or more axes named `embeddings` or `...kernel`;
            a regular expression over paths; a layer class or tuple of them;
            or a function of a variable (see `tsn_keras.layers.KernelRule`).
            To load a model, functions must be registered with
            `keras.saving.register_keras_serializable`.
        **kwargs: Base model keyword arguments, such as `name`.

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

    # Whether the bank is being written beside what Keras writes.
    _bank_is_apart = False

    @in_strategy_scope
    def consolidate(
        self,
        validation_data: Any,
        monitor: str | None = None,
        mode: str = "auto",
        verbose: str | int = "auto",
    ) -> TaskReport:
        """Ends the running task: prunes on, quantizes, packs and freezes it.

        Then it calls `on_consolidate_end(report)` of those callbacks of the
        task's last `fit` that have it.

        Args:
            validation_data: As in `keras.Model.fit`: tuple of arrays,
                `tf.data.Dataset` or `PyDataset`; not used for training.
            monitor: str or `None`. Name of the loss or metric to keep within
                tolerance; defaults to the first compiled metric, or to the
                loss if the head has several outputs.
            mode: `"min"` or `"max"`, whether lower or higher is better, or
                `"auto"` to tell it as callbacks do: by the metric's own
                direction if it has one, else by its name.
            verbose: `"auto"`, 0, 1, or 2, as in `keras.Model.fit`.

        Returns:
            `TaskReport` of the task.

        Raises:
            ValueError: If no task was trained or the validation data cannot
                be used. The bank is then as it was.
        """
        self._check_consolidatable()
        running = self._running
        input_checks.check_validation_data(validation_data)
        snapshot = self.installation.snapshot()
        own = [mask.own for mask in running.masks]
        try:
            self._finish_masks(running)
            validation = Validation(
                self, validation_data, self._evaluation(), monitor, mode
            )
            nearest = running.choice.nearest
            record = Consolidation(
                running,
                self.installation,
                validation,
                self.pruning,
                self.quantization,
                self._tuning(running),
                1 if verbose == "auto" else verbose,
                nearest and self.bank.used_slots(nearest),
            ).run()
            if nearest is not None:
                number = self.bank.tasks.index(nearest)
                record = dataclasses.replace(record, reference=number)
            record = self._with_statistics(record, validation)
            self.bank.add(record)
        except BaseException:
            for mask, before in zip(running.masks, own):
                mask.own = before
            self.installation.restore(snapshot)
            raise
        self._running = None
        report = self.report(running.name)
        for callback in running.callbacks:
            if hasattr(callback, "on_consolidate_end"):
                callback.on_consolidate_end(report)
        return report

    def _check_consolidatable(self) -> None:
        if not self.compiled:
            raise ValueError(
                "You must call `compile()` before calling `consolidate()`."
            )
        if self._running is None:
            last = f"Task '{self.tasks[-1]}' is" if self.tasks else "There is"
            what = "consolidated already" if self.tasks else "no task yet"
            raise ValueError(
                f"{last} {what}. Add a task with `model.add_task(name, head)` "
                "and train it with `model.fit` before `consolidate`."
            )
        if not self._running.begun:
            raise ValueError(
                f"Task '{self._running.name}' has not been trained. Call "
                "`model.fit` before `consolidate`."
            )

    def _finish_masks(self, running: RunningTask) -> None:
        """Brings masks to their target where training stopped before it."""
        if self.pruning is not None:
            self.watch_gradients()
            progress = running.progress
            self.pruning.finish(
                running.masks, progress.step, progress.total_steps
            )
        for mask in running.masks:
            mask.apply()

    def _evaluation(self) -> BatchLoop:
        if self.run_eagerly:
            return evaluation_loop(self)
        if self._functions.evaluation is None:
            self._functions.evaluation = evaluation_loop(self)
        return self._functions.evaluation

    def _training_loss(self, batch: tuple):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        y_pred = self(x, training=True)
        return self.compute_loss(x, y, y_pred, sample_weight)

    def _tuning(self, running: RunningTask):
        """Returns the function that fine-tunes centroids, if it can be."""
        quantization = self.quantization
        if quantization is None:
            return None
        steps = quantization.tuning_steps(running.progress.step)
        if not steps:
            return None
        if running.data is None:
            warnings.warn(
                f"Task '{running.name}' was loaded in the middle of its "
                "training: without another `fit` there is no data to "
                "fine-tune its centroids with.",
                stacklevel=4,
            )
            return None
        own_loss = type(self).compute_loss is not keras.Model.compute_loss
        if self.loss is None and not own_loss and not self.losses:
            warnings.warn(
                "The centroids are not fine-tuned: without a loss in "
                "`compile` only `train_step` knows what to minimize. Give "
                "`compile` a loss, or override `compute_loss`.",
                stacklevel=4,
            )
            return None
        if self._functions.tuning is None:
            self._functions.tuning = CentroidTuning(
                self.installation.kernels,
                self.installation.trainable_private,
                self._training_loss,
                quantization.learning_rate,
            )
        tuning = self._functions.tuning
        seed = derived_seed(self.seed or 0, len(self.bank.tasks))

        def tune(own, codebooks, tunes_centroids):
            batches = running.data.batches(steps, seed)
            return tuning.run(own, codebooks, batches, steps, tunes_centroids)

        return tune

    def _with_statistics(
        self, record: TaskRecord, validation: Validation
    ) -> TaskRecord:
        if not self.sharing.needs_statistics:
            return record
        sample = validation.sample(self.sharing.sample_size)
        statistics = statistics_of(self.installation, sample)
        return dataclasses.replace(record, statistics=statistics)

    def report(self, task: str) -> TaskReport:
        """Returns the report of a consolidated task.

        Args:
            task: str.
        """
        input_checks.check_known(task, list(self.bank.tasks))
        return make_report(self.bank, task)

    def capacity(self) -> Capacity:
        """Returns the bytes of the whole saved bank, by kind.

        Returns:
            `Capacity` with `bytes`, `total_bytes`, `dense_bytes` and
            `fraction`. The size of a saved `.keras` file between tasks is
            `total_bytes` plus the architecture's JSON.
        """
        if self.bank is None or not self.bank.tasks:
            raise ValueError(
                "The bank is empty: no task has been consolidated yet."
            )
        kinds = self.bank.count_bytes()
        kinds["container"] = archive.container_bytes()
        kernels = sum(kernel.size for kernel in self.installation.kernels)
        private = self.bank.private(self.bank.tasks[0])
        arrays = private + self.bank.base_values()
        dense = 4 * (kernels + sum(value.size for value in arrays))
        return Capacity(kinds, dense)

    def summary(self, *args, print_fn=None, **kwargs) -> None:
        """Prints the network and, for each task and kernel, what it uses.

        Args:
            *args: As in `keras.Model.summary`.
            print_fn: function of a line of text, instead of `print`.
            **kwargs: As in `keras.Model.summary`.
        """
        super().summary(*args, print_fn=print_fn, **kwargs)
        if self.bank is not None and self.bank.tasks:
            print_tasks(self.bank, print_fn or print)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        backbone, kernels = self.backbone, None
        if self._wraps_backbone:
            kernels = backbone.kernel_rule.config
            backbone = backbone.layer
        made = contextlib.nullcontext()
        if self.installation is not None:
            made = self.installation.trainable_as_made()
        with made:
            backbone = serialize(backbone)
        return {
            "name": self.name,
            "backbone": backbone,
            "heads": self.heads.get_config()["heads"],
            "pruning": serialize(self.pruning),
            "quantization": serialize(self.quantization),
            "sharing": serialize(self.sharing),
            "seed": self.seed,
            "kernels": kernels,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        config = dict(config)
        heads = config.pop("heads", [])
        deserialize = keras.saving.deserialize_keras_object
        config["backbone"] = deserialize(config["backbone"], custom_objects)
        model = cls(**config)
        for head in heads:
            model.heads.add(deserialize(head, custom_objects))
        return model

    def __dir__(self):
        hidden = STORED_ELSEWHERE
        return [name for name in super().__dir__() if name not in hidden]

    def save(
        self,
        filepath: str | os.PathLike,
        overwrite: bool = True,
        zipped: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Saves the model; see `keras.Model.save`.

        Between two tasks a `.keras` file is as small as `capacity` says, plus
        the architecture's JSON, and appears only when it is complete.

        Args:
            filepath: str or path.
            overwrite: bool, whether to overwrite an existing file or to ask.
            zipped: bool or `None`. `False` saves a folder.
            **kwargs: As in `keras.Model.save`.
        """
        plain = functools.partial(super().save, zipped=zipped, **kwargs)
        between_tasks = self._running is None and self.bank and self.bank.tasks
        if (
            not between_tasks
            or zipped is False
            or not str(filepath).endswith(".keras")
            or "://" in str(filepath)
            or (not overwrite and os.path.exists(filepath))
        ):
            plain(filepath, overwrite=overwrite)
            return
        self._bank_is_apart = True
        try:
            archive.write_archive(filepath, self.bank.to_bytes(), plain)
        finally:
            self._bank_is_apart = False

    def load_weights(self, filepath: str | os.PathLike, **kwargs: Any) -> None:
        """Loads all tasks of a file; see `keras.Model.load_weights`.

        Args:
            filepath: str or path, as of `save` or `save_weights`.
            **kwargs: As in `keras.Model.load_weights`.
        """
        saved = archive.read_bank(filepath)
        if saved is None or archive.holds_weights(filepath):
            super().load_weights(filepath, **kwargs)
        if saved is not None:
            self._load_bank(saved)

    def save_own_variables(self, store) -> None:
        saving.save_variables(store, self)
        if self.bank is None or self._bank_is_apart:
            return
        saved = self.bank.to_bytes()
        store[saving.BANK_KEY] = np.frombuffer(saved, np.uint8)
        if self._running is not None:
            saving.save_running_task(store, self, self._running)
        elif not self.bank.tasks:
            saving.save_start(store, self)

    def load_own_variables(self, store) -> None:
        saving.load_variables(store, self)
        if saving.BANK_KEY not in store.keys():
            return
        self._load_bank(store[saving.BANK_KEY].tobytes(), store)

    def save_assets(self, path: str) -> None:
        saving.save_adapted(path, self.backbone)

    def load_assets(self, path: str | None) -> None:
        if path is None:
            return
        saving.load_adapted(path, self.backbone)
        bank = pathlib.Path(path) / archive.BANK_FILE
        if bank.is_file():
            self._load_bank(bank.read_bytes())

    @in_strategy_scope
    def _load_bank(self, saved: bytes, store: Mapping | None = None) -> None:
        """Takes over a saved bank, and the running task beside it."""
        store = {} if store is None else store
        self.bank.load_bytes(saved)
        self._at_work = None
        saving.load_start(store, self)
        self.installation.install_base(self.bank.base_values())
        before = self._running
        self._running = saving.load_running_task(store, self)
        if before and self._running and before.name == self._running.name:
            before.go_on_from(self._running)
            self._running = before
        if self._running is None and self.bank.tasks:
            self._install(self.bank.tasks[-1])
