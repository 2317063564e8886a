"""How a `ContinualModel` fills the stores that Keras gives it.

Between two tasks a store holds the bank, and no dense kernel. In the middle
of a task it also holds that task's training state, and before the first task
the backbone's weights. Whatever is beside the bank comes with digests, since
Keras reads HDF5 without checking it.
"""

import contextlib
import functools
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

import keras
import numpy as np

from tsn_keras.bank import WeightBank
from tsn_keras.keras_internals import direct_layers, own_variables
from tsn_keras.layers import MaskedKernel
from tsn_keras.saving import archive
from tsn_keras.saving.seal import REMEDY, digest
from tsn_keras.tasks import checks
from tsn_keras.tasks.report import check_facts
from tsn_keras.tasks.running_task import RunningTask
from tsn_keras.tasks.start import plane_masks
from tsn_keras.tasks.training import training_variables

BANK_KEY = "bank"
TASK_KEY = "running_task"
DIGESTS_KEY = "digests"
_OWN_VARIABLES = "own_variables.npz"
Entries = Iterator[tuple[str, np.ndarray]]


def save_model(store: MutableMapping, model: keras.Model) -> None:
    """Writes a `ContinualModel`, without a bank that `archive` writes apart."""
    digests = {}
    with contextlib.ExitStack() as stack:
        if model.running_task is not None:
            # Not while another thread trains it.
            stack.enter_context(model.changes.by("save"))
        for key, value in _entries(model):
            store[key] = value
            digests[key] = digest(value)
    if digests.keys() - {BANK_KEY}:
        # The bank has a checksum of its own.
        digests = {"seal": model.seal.written, "entries": digests}
        store[DIGESTS_KEY] = _as_array(json.dumps(digests).encode())


def load_model(store: Mapping, model: keras.Model) -> None:
    """Reads what `save_model` wrote."""
    model.seal.begin(has_bank=model.bank is not None)
    if BANK_KEY in store.keys():
        # First, since it may be of another architecture.
        load_bank(store[BANK_KEY].tobytes(), store, model)
    else:
        _check_store(store, model)
        if model.bank is None:
            _load_task(store, model)
    if "variable.0" in store.keys():
        _load_list(store, "variable", own_variables(model))


def load_bank(saved: bytes, store: Mapping, model: keras.Model) -> None:
    """Reads a bank into a `ContinualModel`, and the running task beside it.

    The store is empty if there is nothing beside the bank.
    """
    model.seal.note_bank()
    check = functools.partial(_check, saved, store, model)
    with model.distribute_strategy.scope():
        model.bank.load_bytes(saved, check)
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


def _check(
    saved: bytes, store: Mapping, model: keras.Model, bank: WeightBank
) -> None:
    """Refuses a saved bank that does not fit a model or its configuration."""
    _check_store(store, model)
    heads = {name: bank[name].head for name in bank.tasks}
    running = _stored_task(store)
    if running is not None:
        heads[running.name] = running.head
        _check_optimizer(store, model, running)
    model.seal.check_bank(saved, running and running.name)
    check_facts(bank)
    checks.check_saved_heads(heads, model.heads.count)
    for name in bank.tasks:
        shapes = [code.shape for code in bank[name].private]
        private = model.switch.private_of_backbone
        checks.check_saved_shapes(name, shapes, private)


def _check_optimizer(
    store: Mapping, model: keras.Model, running: RunningTask
) -> None:
    """Refuses a task in training whose optimizer has other variables.

    One that scales the loss, as with `mixed_float16`, has more of them.
    """
    keys = set(store.keys())
    if "optimizer.0" not in keys or not model.optimizer_factory:
        return
    if running.head >= model.heads.count:
        return
    with model.heads.reading(running.head):
        if not model.heads.head.built:
            return
        found = model.optimizer_factory.make()
        found.build(model.trainable_variables)
    scales = isinstance(found, keras.optimizers.LossScaleOptimizer)
    if scales:
        other = found.inner_optimizer
    else:
        other = keras.optimizers.LossScaleOptimizer(found)
        other.build(model.trainable_variables)
    saved = sum(key.startswith("optimizer.") for key in keys)
    if saved == len(other.variables) != len(found.variables):
        words = "without a scaled loss", "with a scaled loss"
        raise ValueError(
            f"Task '{running.name}' was saved in the middle of its training, "
            f"{words[not scales]}, and this model trains {words[scales]}. The "
            "loss is scaled under the dtype policy 'mixed_float16'. Make the "
            "model under the policy that it was saved with (`keras.config."
            "set_dtype_policy`), or consolidate the task before it is saved: "
            "consolidated tasks can be loaded under any policy."
        )


def _check_store(store: Mapping, model: keras.Model) -> None:
    """Refuses a store whose entries were changed, or are of another file."""
    keys = set(store.keys())
    if DIGESTS_KEY not in keys:
        return
    digests = json.loads(store[DIGESTS_KEY].tobytes())
    model.seal.check_copy(digests["seal"])
    for key, expected in digests["entries"].items():
        if key not in keys or digest(store[key]) != expected:
            raise ValueError(
                f"The file is damaged: '{key}' in it is not what was saved. "
                f"{REMEDY}"
            )


def _entries(model: keras.Model) -> Entries:
    """Yields what there is to save, one array after another."""
    yield from _listed("variable", own_variables(model))
    if archive.bank_apart(model) is not None:
        return
    if model.bank is not None:
        yield BANK_KEY, _as_array(model.bank.to_bytes())
    if model.running_task is not None:
        yield from _task_entries(model)
    elif model.bank is not None and not model.bank.tasks:
        yield from _listed("start", _start(model))


def _as_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def _load_task(store: Mapping, model: keras.Model) -> RunningTask | None:
    """Reads and returns a running task; `None` if there was no task."""
    task = _stored_task(store)
    if task is None:
        return None
    model.switch.take_up(task)
    if task.begun and "optimizer.0" in store.keys() and model.compiled:
        model.optimizer.build(model.trainable_variables)
    for kind, variables in training_variables(model).items():
        if f"{kind}.{len(variables) - 1}" in store.keys():
            _load_list(store, kind, variables)
    if task.begun:
        _load_masks(store, model, task)
    return task


def save_assets(path: str, model: keras.Model) -> None:
    """Writes vocabularies, since Keras does not look into the backbone."""
    for layer, folder in _with_assets(path, model.backbone):
        folder.mkdir()
        layer.save_assets(str(folder))
        own = {}
        if not layer.variables:
            # Weights of words, which are no variables of Keras.
            layer.save_own_variables(own)
        if own:
            np.savez(folder / _OWN_VARIABLES, **own)
        if not any(folder.iterdir()):
            # The configuration holds the vocabulary.
            folder.rmdir()


def load_assets(path: str, model: keras.Model) -> None:
    """Reads what `save_assets` wrote, and a bank that was written apart."""
    model.seal.note_assets(path)
    for layer, folder in _with_assets(path, model.backbone):
        own = folder / _OWN_VARIABLES
        if own.is_file():
            layer.load_own_variables(dict(np.load(own)))
        if folder.is_dir():
            layer.load_assets(str(folder))
    bank = pathlib.Path(path, archive.BANK_FILE)
    if bank.is_file():
        load_bank(bank.read_bytes(), {}, model)


def _listed(kind: str, variables: Iterable[keras.Variable]) -> Entries:
    for index, variable in enumerate(variables):
        yield f"{kind}.{index}", np.asarray(variable)


def _load_list(
    store: Mapping, kind: str, variables: Iterable[keras.Variable]
) -> None:
    for index, variable in enumerate(variables):
        variable.assign(store[f"{kind}.{index}"])


def _start(model: keras.Model) -> list[keras.Variable]:
    switch = model.switch
    kernels = [kernel.kernel for kernel in switch.kernels]
    return kernels + switch.private_of_backbone + switch.base


def _with_assets(
    path: str, backbone: keras.layers.Layer
) -> Iterator[tuple[keras.layers.Layer, pathlib.Path]]:
    """Yields each layer that writes files, with its folder."""
    for index, layer in enumerate(_writing_layers(backbone)):
        yield layer, pathlib.Path(path, f"adapted_{index}")


def _writing_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    if hasattr(layer, "save_assets"):
        return [layer]
    inner = direct_layers(layer)
    return [found for one in inner for found in _writing_layers(one)]


def _task_entries(model: keras.Model) -> Entries:
    task = model.running_task
    yield TASK_KEY, _as_array(task.to_json().encode())
    if not model.heads.head.built:
        return
    for kind, variables in training_variables(model).items():
        yield from _listed(kind, variables)
    for index, mask in enumerate(task.masks):
        yield f"own.{index}", np.packbits(mask.own)
        yield f"available.{index}", np.packbits(mask.available)


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
