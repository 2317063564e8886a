"""The model that users see: all tasks, their capacity, saved and loaded."""

import contextlib
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tsn_keras import archive, saved_checks, saving
from tsn_keras.bank import Capacity
from tsn_keras.distribution import in_strategy_scope
from tsn_keras.summary_table import print_tasks
from tsn_keras.task_consolidator import TaskConsolidator

# Attributes whose state is kept in the bank or in the training state.
# Keras would find and save them a second time, dense kernels included.
STORED_ELSEWHERE = frozenset(
    ("backbone", "heads", "layers", "optimizer", "metrics", "installation")
    + ("_compile_metrics", "_compile_loss", "_loss_tracker", "_kept")
)


@keras.saving.register_keras_serializable(package="tsn_keras")
class ContinualModel(TaskConsolidator):
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

        A `.keras` file appears only when it is complete. Between two tasks it
        is as small as `capacity` says, plus the architecture's JSON.

        Args:
            filepath: str or path.
            overwrite: bool, whether to overwrite an existing file or to ask.
            zipped: bool or `None`. `False` saves a folder.
            **kwargs: As in `keras.Model.save`.
        """
        plain = functools.partial(super().save, zipped=zipped, **kwargs)
        if (
            zipped is False
            or not str(filepath).endswith(".keras")
            or "://" in str(filepath)
            or (not overwrite and os.path.exists(filepath))
        ):
            plain(filepath, overwrite=overwrite)
            return
        if self._running is not None or not (self.bank and self.bank.tasks):
            with archive.appearing_complete(filepath) as path:
                plain(path)
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
        if saving.BANK_KEY in store.keys():
            # First, since it may be of another architecture.
            self._load_bank(store[saving.BANK_KEY].tobytes(), store)
        saving.load_variables(store, self)

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

        def check(bank):
            saved_checks.check_saved_heads(
                saving.saved_heads(store, bank), self.heads.count
            )
            for name in bank.tasks:
                saved_checks.check_saved_shapes(
                    name,
                    [code.shape for code in bank[name].private],
                    self.installation.private_of_backbone,
                )

        self.bank.load_bytes(saved, check)
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
