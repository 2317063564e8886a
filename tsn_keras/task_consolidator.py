"""A network that ends its tasks: the last step in the life of each."""

import dataclasses
import warnings
from typing import Any

import keras

from tsn_keras import input_checks
from tsn_keras.bank import PrivateCode, TaskRecord
from tsn_keras.batch_loop import BatchLoop
from tsn_keras.beginning import statistics_of
from tsn_keras.consolidation import Consolidation
from tsn_keras.distribution import in_strategy_scope
from tsn_keras.initialization import derived_seed
from tsn_keras.quantization import CentroidTuning, without_noise
from tsn_keras.running_task import RunningTask
from tsn_keras.task_report import TaskReport, make_report
from tsn_keras.task_trainer import TaskTrainer
from tsn_keras.validation import Validation, evaluation_loop

# Bits of an activation statistic.
STATISTICS_WIDTH = 8


class TaskConsolidator(TaskTrainer):
    """Consolidates the running task, and reports on those in the bank.

    The arguments are those of `ContinualModel`.
    """

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
            TypeError: If the validation data are sparse matrices or text.
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
                self,
                validation_data,
                self._evaluation(),
                monitor,
                mode,
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
                mask.take(before)
            self.installation.restore(snapshot)
            raise
        self._running = self._first_start = None
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
        progress = running.progress
        if self.pruning is not None and not progress.settled:
            self.watch_gradients()
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
        has_targets = running.data.has_targets
        if not has_targets and self.loss is not None and not own_loss:
            warnings.warn(
                "The centroids are not fine-tuned: the training data have no "
                "targets, which only `train_step` knows. Give them to `fit`, "
                "or override `compute_loss`.",
                stacklevel=4,
            )
            return None
        if self._functions.tuning is None:
            self._functions.tuning = CentroidTuning(
                self.installation.kernels,
                self.installation.trainable_private,
                self._training_loss,
                quantization.learning_rate,
                self.run_eagerly,
            )
        tuning = self._functions.tuning
        seed = derived_seed(self.seed or 0, len(self.bank.tasks))

        def tune(own, codebooks, tunes_centroids):
            batches = running.data.batches(steps, seed)
            # A few steps, and few variables that fit no example by heart.
            # Around the replicas, which are traced in threads of their own.
            with without_noise(self):
                return tuning.run(
                    own, codebooks, batches, steps, tunes_centroids
                )

        return tune

    def _with_statistics(
        self, record: TaskRecord, validation: Validation
    ) -> TaskRecord:
        if not self.sharing.needs_statistics:
            return record
        sample = validation.sample(self.sharing.sample_size)
        statistics = statistics_of(self.installation, sample)
        code = PrivateCode.encode(statistics, STATISTICS_WIDTH)
        return dataclasses.replace(record, statistics=code)

    def report(self, task: str) -> TaskReport:
        """Returns the report of a consolidated task.

        Args:
            task: str.
        """
        input_checks.check_known(task, list(self.bank.tasks))
        return make_report(self.bank, task)
