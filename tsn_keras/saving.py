"""How a `ContinualModel` fills the stores that Keras gives it."""

import pathlib

import keras
import numpy as np

from tsn_keras.beginning import plane_masks
from tsn_keras.installation import adapted_layers
from tsn_keras.pruning import TaskMask
from tsn_keras.running_task import RunningTask
from tsn_keras.training_state import training_variables

BANK_KEY = "bank"
TASK_KEY = "running_task"


def _save_list(store, kind: str, variables: list[keras.Variable]) -> None:
    for index, variable in enumerate(variables):
        store[f"{kind}.{index}"] = np.asarray(variable)


def _load_list(store, kind: str, variables: list[keras.Variable]) -> None:
    for index, variable in enumerate(variables):
        variable.assign(store[f"{kind}.{index}"])


def _start(model) -> list[keras.Variable]:
    kernels = [kernel.kernel for kernel in model.installation.kernels]
    work = model.installation
    return kernels + work.private_of_backbone + work.base


def _variables(model) -> list[keras.Variable]:
    return model._trainable_variables + model._non_trainable_variables


def save_variables(store, model) -> None:
    """Writes the variables that a user's subclass has itself.

    Args:
        store: mapping, Keras' store.
        model: `ContinualModel`.
    """
    _save_list(store, "variable", _variables(model))


def load_variables(store, model) -> None:
    """Reads what `save_variables` wrote.

    Args:
        store: mapping, Keras' store.
        model: `ContinualModel`.
    """
    if "variable.0" in store.keys():
        _load_list(store, "variable", _variables(model))


def save_start(store, model) -> None:
    """Writes the backbone's weights, which the first task starts from.

    Args:
        store: mapping, Keras' store.
        model: `ContinualModel` without any task.
    """
    _save_list(store, "start", _start(model))


def load_start(store, model) -> None:
    """Reads what `save_start` wrote, if it did.

    Args:
        store: mapping, Keras' store.
        model: `ContinualModel`.
    """
    if "start.0" in store.keys():
        _load_list(store, "start", _start(model))


def _adapted(path: str, backbone: keras.layers.Layer):
    """Gives all layers that `adapt` gave a vocabulary, each with a folder."""
    for index, layer in enumerate(adapted_layers(backbone)):
        if hasattr(layer, "save_assets"):
            yield layer, pathlib.Path(path, f"adapted_{index}")


def save_adapted(path: str, backbone: keras.layers.Layer) -> None:
    """Writes vocabularies, which Keras does not find in what it is shown.

    Args:
        path: str, the folder of the model's assets.
        backbone: `keras.layers.Layer`.
    """
    for layer, folder in _adapted(path, backbone):
        folder.mkdir()
        layer.save_assets(str(folder))
        if not any(folder.iterdir()):
            # The configuration holds the vocabulary.
            folder.rmdir()


def load_adapted(path: str, backbone: keras.layers.Layer) -> None:
    """Reads what `save_adapted` wrote.

    Args:
        path: str, the folder of the model's assets.
        backbone: `keras.layers.Layer`.
    """
    for layer, folder in _adapted(path, backbone):
        if folder.is_dir():
            layer.load_assets(str(folder))


def save_running_task(store, model, task: RunningTask) -> None:
    """Writes the training state of a task.

    Args:
        store: mapping, Keras' store.
        model: `ContinualModel`.
        task: `RunningTask`.
    """
    store[TASK_KEY] = np.frombuffer(task.to_json().encode(), np.uint8)
    if not model.heads.head.built:
        return
    for kind, variables in training_variables(model).items():
        _save_list(store, kind, variables)
    for index, mask in enumerate(task.masks):
        store[f"own.{index}"] = np.packbits(mask.own)
        store[f"available.{index}"] = np.packbits(mask.available)


def load_running_task(store, model) -> RunningTask | None:
    """Reads what `save_running_task` wrote; `None` if there was no task.

    Args:
        store: mapping, Keras' store.
        model: `ContinualModel`, with its bank loaded and the head selected
            by `model.prepare_task`.
    """
    if TASK_KEY not in store.keys():
        return None
    task = RunningTask.from_json(bytes(store[TASK_KEY]).decode())
    model.prepare_task(task)
    if "kernel.0" not in store.keys():
        return task
    if task.begun and "optimizer.0" in store.keys() and model.compiled:
        model.optimizer.build(model.trainable_variables)
    for kind, variables in training_variables(model).items():
        if f"{kind}.{len(variables) - 1}" in store.keys():
            _load_list(store, kind, variables)
    if task.begun:
        task.masks = _load_masks(store, model, task)
    return task


def saved_heads(store, bank) -> dict[str, int]:
    """Returns the index of the head of each task, of a running one as well.

    Args:
        store: mapping, Keras' store.
        bank: `WeightBank` that was saved beside it.
    """
    heads = {name: bank[name].head for name in bank.tasks}
    if TASK_KEY in store.keys():
        task = RunningTask.from_json(bytes(store[TASK_KEY]).decode())
        heads[task.name] = task.head
    return heads


def _load_masks(store, model, task: RunningTask) -> list[TaskMask]:
    kernels = model.installation.kernels
    available = [
        _unpacked(store[f"available.{index}"], kernel)
        for index, kernel in enumerate(kernels)
    ]
    masks = plane_masks(task, kernels, model.bank, available)
    for index, mask in enumerate(masks):
        mask.take(_unpacked(store[f"own.{index}"], mask.kernel))
    return masks


def _unpacked(bits: np.ndarray, kernel) -> np.ndarray:
    flat = np.unpackbits(bits, count=kernel.size)
    return flat.astype(bool).reshape(kernel.shape)
