"""How a `ContinualModel` fills the stores that Keras gives it.

Between two tasks a store holds the bank, and no dense kernel. In the middle
of a task it also holds that task's training state, and before the first task
the backbone's weights.
"""

import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

import keras
import numpy as np

from tsn_keras.bank import WeightBank
from tsn_keras.keras_internals import own_variables
from tsn_keras.layers import MaskedKernel
from tsn_keras.saving import archive
from tsn_keras.tasks import checks
from tsn_keras.tasks.running_task import RunningTask
from tsn_keras.tasks.start import plane_masks
from tsn_keras.tasks.task_switch import adapted_layers
from tsn_keras.tasks.training import training_variables

BANK_KEY = "bank"
TASK_KEY = "running_task"


def save_model(store: MutableMapping, model: keras.Model) -> None:
    """Writes a `ContinualModel`, without a bank that `archive` writes apart."""
    _save_list(store, "variable", own_variables(model))
    if model.bank is None or archive.writes_bank_apart():
        return
    store[BANK_KEY] = np.frombuffer(model.bank.to_bytes(), np.uint8)
    if model.running_task is not None:
        # Not while another thread trains it.
        with model.changes.by("save"):
            _save_task(store, model)
    elif not model.bank.tasks:
        _save_list(store, "start", _start(model))


def load_variables(store: Mapping, model: keras.Model) -> None:
    """Reads the variables that a user's subclass has itself."""
    if "variable.0" in store.keys():
        _load_list(store, "variable", own_variables(model))


def load_bank(saved: bytes, store: Mapping, model: keras.Model) -> None:
    """Reads a bank into a `ContinualModel`, and the running task beside it.

    The store is empty if there is nothing beside the bank.
    """
    with model.distribute_strategy.scope():
        model.bank.load_bytes(saved, functools.partial(_check, store, model))
        switch, before = model.switch, model.running_task
        switch.forget()
        switch.clear_views()
        if "start.0" in store.keys():
            _load_list(store, "start", _start(model))
        switch.install_base(model.bank.base_values())
        switch.let_go()
        loaded = _load_task(store, model)
        if before and loaded and before.name == loaded.name:
            before.go_on_from(loaded)
            switch.take_up(before)
        if loaded is None and model.bank.tasks:
            switch.to(model.bank.tasks[-1])


def _check(store: Mapping, model: keras.Model, bank: WeightBank) -> None:
    """Refuses a saved bank that does not fit a model."""
    heads = {name: bank[name].head for name in bank.tasks}
    running = _stored_task(store)
    if running is not None:
        heads[running.name] = running.head
    checks.check_saved_heads(heads, model.heads.count)
    for name in bank.tasks:
        shapes = [code.shape for code in bank[name].private]
        private = model.switch.private_of_backbone
        checks.check_saved_shapes(name, shapes, private)


def _load_task(store: Mapping, model: keras.Model) -> RunningTask | None:
    """Reads and returns a running task; `None` if there was no task."""
    task = _stored_task(store)
    if task is None:
        return None
    model.switch.take_up(task)
    if "kernel.0" not in store.keys():
        return task
    if task.begun and "optimizer.0" in store.keys() and model.compiled:
        model.optimizer.build(model.trainable_variables)
    for kind, variables in training_variables(model).items():
        if f"{kind}.{len(variables) - 1}" in store.keys():
            _load_list(store, kind, variables)
    if task.begun:
        _load_masks(store, model, task)
    return task


def save_adapted(path: str, backbone: keras.layers.Layer) -> None:
    """Writes vocabularies, which Keras does not find by itself."""
    for layer, folder in _adapted(path, backbone):
        folder.mkdir()
        layer.save_assets(str(folder))
        if not any(folder.iterdir()):
            # The configuration holds the vocabulary.
            folder.rmdir()


def load_adapted(path: str, backbone: keras.layers.Layer) -> None:
    """Reads what `save_adapted` wrote."""
    for layer, folder in _adapted(path, backbone):
        if folder.is_dir():
            layer.load_assets(str(folder))


def _save_list(
    store: MutableMapping, kind: str, variables: Iterable[keras.Variable]
) -> None:
    for index, variable in enumerate(variables):
        store[f"{kind}.{index}"] = np.asarray(variable)


def _load_list(
    store: Mapping, kind: str, variables: Iterable[keras.Variable]
) -> None:
    for index, variable in enumerate(variables):
        variable.assign(store[f"{kind}.{index}"])


def _start(model: keras.Model) -> list[keras.Variable]:
    switch = model.switch
    kernels = [kernel.kernel for kernel in switch.kernels]
    return kernels + switch.private_of_backbone + switch.base


def _adapted(
    path: str, backbone: keras.layers.Layer
) -> Iterator[tuple[keras.layers.Layer, pathlib.Path]]:
    """Yields each layer that `adapt` gave a vocabulary, with its folder."""
    for index, layer in enumerate(adapted_layers(backbone)):
        if hasattr(layer, "save_assets"):
            yield layer, pathlib.Path(path, f"adapted_{index}")


def _save_task(store: MutableMapping, model: keras.Model) -> None:
    task = model.running_task
    store[TASK_KEY] = np.frombuffer(task.to_json().encode(), np.uint8)
    if not model.heads.head.built:
        return
    for kind, variables in training_variables(model).items():
        _save_list(store, kind, variables)
    for index, mask in enumerate(task.masks):
        store[f"own.{index}"] = np.packbits(mask.own)
        store[f"available.{index}"] = np.packbits(mask.available)


def _stored_task(store: Mapping) -> RunningTask | None:
    if TASK_KEY not in store.keys():
        return None
    return RunningTask.from_json(bytes(store[TASK_KEY]).decode())


def _load_masks(store: Mapping, model: keras.Model, task: RunningTask) -> None:
    kernels = model.switch.kernels
    available = [
        _unpacked(store[f"available.{i}"], kernel)
        for i, kernel in enumerate(kernels)
    ]
    masks = plane_masks(task, kernels, model.bank, available, task.width)
    for index, mask in enumerate(masks):
        mask.take(_unpacked(store[f"own.{index}"], mask.kernel))
    task.take_masks(masks)


def _unpacked(bits: np.ndarray, kernel: MaskedKernel) -> np.ndarray:
    flat = np.unpackbits(bits, count=kernel.size)
    return flat.astype(bool).reshape(kernel.shape)
