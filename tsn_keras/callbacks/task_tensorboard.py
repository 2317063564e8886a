"""What every task uses of every kernel, as curves for TensorBoard."""

import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tsn_keras.bank import SLOT_BITS, PrivateCode, WeightBank
from tsn_keras.data import check_paths


class TaskScalars:
    """Goes through the tasks of a bank, and tells which slots each one uses.

    Scalars are tuples of tag and value:

    - `sparsity/KERNEL`: the fraction of slots outside the task's mask;
    - `bits/KERNEL`: the width of its codes;
    - `own/KERNEL`, `shared/KERNEL`: numbers of slots;
    - `used_budget/KERNEL`: the fraction of the budget of 32 bits a slot that
      this and all earlier tasks use;
    - `mask_overlap/KERNEL/TASK`: slots in both its mask and that of the earlier
      `TASK`, divided by slots in either.
    """

    def __init__(self, bank: WeightBank):
        self.bank = bank
        # Masks so far, as bits. Decoding them again would take longer.
        # With the statistics of a task, which no other one has.
        self._masks: dict[str, tuple[PrivateCode, list[np.ndarray]]] = {}
        # How many tasks there have been, those that were removed included.
        self.num_tasks = 0

    @property
    def next_task(self) -> str | None:
        """The first task whose scalars were not returned yet."""
        for name in self.bank.tasks:
            statistics, _ = self._masks.get(name, (None, None))
            if statistics is not self.bank[name].statistics:
                return name
        return None

    def of_next_task(self) -> list[tuple[str, float]]:
        """Returns the scalars of the next task."""
        name = self.next_task
        self.num_tasks += 1
        kept = self._masks
        self._masks = {n: kept[n] for n in kept if n in self.bank and n != name}
        masks, scalars = self.bank.masks(name), []
        for index, slots in enumerate(masks):
            scalars += self._of_kernel(name, index, *slots)
        bits = [np.packbits(own | shared) for own, shared in masks]
        self._masks[name] = self.bank[name].statistics, bits
        return scalars

    def _of_kernel(
        self, name: str, index: int, own: np.ndarray, shared: np.ndarray
    ) -> Iterator[tuple[str, float]]:
        path, size = self.bank.paths[index], own.size
        width = self.bank[name].components[index].width
        yield f"sparsity/{path}", 1.0 - (own.sum() + shared.sum()) / size
        yield f"bits/{path}", width
        yield f"own/{path}", own.sum()
        yield f"shared/{path}", shared.sum()
        used = self._used_bits(index, name) / (SLOT_BITS * size)
        yield f"used_budget/{path}", used
        mask = (own | shared).ravel()
        for earlier, (_, bits) in self._masks.items():
            other = np.unpackbits(bits[index], count=size).view(bool)
            both, either = (mask & other).sum(), (mask | other).sum()
            yield f"mask_overlap/{path}/{earlier}", both / max(1, either)


    def _used_bits(self, index: int, last: str) -> int:
        """The bits that a kernel's slots hold, up to one of the tasks."""
        records = self.bank.records[: self.bank.number(last) + 1]
        components = [record.components[index] for record in records]
        return sum(c.width * c.own_count for c in components)


class TaskTensorBoard(keras.callbacks.Callback):
    """Writes what every task uses of every kernel, for TensorBoard.

    Each epoch writes `training/TASK/sparsity/KERNEL`, over the steps of the
    task. `consolidate` writes sparsity, bits, own and shared slots, used budget
    and the overlap with the masks of earlier tasks, over the number of the
    task, from 0 (see `TaskScalars`). Tasks that the model learned before it was
    given this callback are written when `fit` begins.

    `tensorboard --logdir` shows the curves in the folder `log_dir`. The
    tensorboard package is not needed to write them.

    Example:

    ```python
    board = tsn_keras.callbacks.TaskTensorBoard("logs")
    for task in scenario:
        model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        model.fit(task.train, callbacks=[board])
        model.consolidate(task.validation)
    ```
    """

    def __init__(self, log_dir: str | os.PathLike):
        super().__init__()
        check_paths(log_dir=log_dir)
        self.log_dir = os.fspath(log_dir)
        self._writer = None
        self._scalars = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._write_tasks()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        running = self.model.running_task
        tag = f"training/{running.name}/sparsity"
        scalars = [
            (f"{tag}/{mask.path}", 1.0 - mask.mask.mean())
            for mask in running.masks
        ]
        self._write_all(scalars, running.progress.step)

    def on_consolidate_end(self, report: Any) -> None:
        """Writes what every task uses, once `consolidate` is done."""
        self._write_tasks()

    def _write_tasks(self) -> None:
        bank = self.model.bank
        if self._scalars is None or self._scalars.bank is not bank:
            self._scalars = TaskScalars(bank)
        while self._scalars.next_task is not None:
            number = self._scalars.num_tasks
            self._write_all(self._scalars.of_next_task(), number)

    def _write_all(self, scalars, step: int) -> None:
        # Only the first of several workers writes, as in Keras' callbacks.
        strategy = self.model.distribute_strategy
        if not strategy.extended.should_save_summary:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        # `tf.summary.scalar` needs the tensorboard package.
        messages = tf.compat.v1.SummaryMetadata
        plugin = messages.PluginData(plugin_name="scalars")
        kind = messages(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")
        with self._writer.as_default():
            for tag, value in scalars:
                tf.summary.write(tag, np.float32(value), step, kind)
        self._writer.flush()
