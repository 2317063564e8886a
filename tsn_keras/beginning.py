"""What happens before the first training step of a task."""

from collections.abc import Callable

import keras
import numpy as np
from keras import tree

from tsn_keras.bank import WeightBank, widest_width
from tsn_keras.initialization import (
    derived_seed,
    fresh_weights,
    reset_seed_generators,
)
from tsn_keras.installation import Installation
from tsn_keras.layers.masked_kernel import MaskedKernel
from tsn_keras.pruning import Pruning, TaskMask, kept_slots
from tsn_keras.running_task import RunningTask
from tsn_keras.sharing import (
    PlaneChoice,
    activation_statistics,
    kl_divergence,
    masked_layers,
)


def statistics_of(installation: Installation, sample) -> np.ndarray:
    """Returns the activation statistics of the installed task on a sample.

    Args:
        installation: `Installation`.
        sample: nest of arrays, the inputs of some examples.

    Returns:
        float32 array.
    """
    backbone = installation.backbone
    kernels = [kernel.kernel for kernel in installation.kernels]
    inputs = tree.map_structure(np.asarray, sample)
    return activation_statistics(
        lambda: backbone(inputs, training=False),
        masked_layers(backbone, kernels),
    )


def divergences_of(
    bank: WeightBank, statistics: Callable[[str], np.ndarray]
) -> dict[str, float]:
    """Returns how far a task's activations are from every earlier task's.

    Args:
        bank: `WeightBank`.
        statistics: function of an earlier task's name; the statistics of the
            new task's sample in that task's subnetwork.
    """
    return {
        name: kl_divergence(statistics(name), bank[name].statistics.decode())
        for name in bank.tasks
    }


def take_plane(task: RunningTask, choice: PlaneChoice, bank: WeightBank):
    """Puts a task on the plane that was chosen for it.

    Args:
        task: `RunningTask`, whose planes and the like are set.
        choice: `PlaneChoice`.
        bank: `WeightBank`.
    """
    new = max((bank[name].plane for name in bank.tasks), default=-1) + 1
    planes = [new] * len(bank.shapes)
    joined = choice.num_joined(len(planes))
    if joined and choice.nearest is None:
        planes[:joined] = [choice.plane] * joined
    elif joined:
        planes[:joined] = bank[choice.nearest].planes[:joined]
    task.planes = tuple(planes)
    task.inherits = choice.nearest if joined else None
    task.choice = choice


def plane_masks(
    task: RunningTask,
    kernels: list[MaskedKernel],
    bank: WeightBank,
    available: list[np.ndarray],
) -> list[TaskMask]:
    """Returns masks over a task's planes, with what the task inherits.

    A kernel on a new plane inherits nothing: no slot of it is owned there.

    Args:
        task: `RunningTask`.
        kernels: list of `MaskedKernel`.
        bank: `WeightBank`.
        available: list of bool arrays, the slots with bits left.
    """
    view = bank.plane_view(task.planes)
    inherited = view.owned
    if task.inherits is not None:
        inherited = bank.used_slots(task.inherits)
    parts = zip(kernels, view.owned, view.frozen, available, inherited)
    return [
        TaskMask(*part, task.own_fraction(index), task.width)
        for index, part in enumerate(parts)
    ]


def room_for_task(
    task: RunningTask,
    installation: Installation,
    bank: WeightBank,
    pruning: Pruning | None,
    widths: tuple[int, int],
) -> None:
    """Finds the slots that a task's masks may contain.

    Args:
        task: `RunningTask`, whose masks and widths are set.
        installation: `Installation`.
        bank: `WeightBank`.
        pruning: `Pruning` strategy or `None` for full masks.
        widths: tuple of int, narrowest and widest code of the quantization.

    Raises:
        BudgetError: If a kernel has no bits left.
    """
    task.width = widths[0]
    if pruning is not None:
        sizes = [kernel.size for kernel in installation.kernels]
        pruning.check_budget(sizes, task.width)
    owned = bank.plane_view(task.planes).owned
    limits, available = [], []
    for index, kernel in enumerate(installation.kernels):
        used, taken = bank.used_bits(index), owned[index]
        sparsity = pruning.target(kernel.path) if pruning else 0.0
        count = kept_slots(kernel.size, sparsity)
        count = round(task.own_fraction(index) * count)
        count = min(count + taken.sum(), kernel.size)
        width = widest_width(used, taken, count, *widths, kernel.path)
        # The sum is taken in a wide type: 32 + 32 would pass in uint8 too,
        # but a user's max_width must never wrap around.
        available.append(used.astype(np.int32) + width <= 32)
        limits.append(width)
    task.widths = limits
    task.masks = plane_masks(task, installation.kernels, bank, available)


def start_values(
    task: RunningTask,
    installation: Installation,
    bank: WeightBank,
    inputs,
    seed: int | None,
) -> None:
    """Gives kernels and private variables the values training starts from.

    The first task takes the backbone as it is, so that pretrained weights
    count. A later one that inherits another's subnetwork starts as that task:
    its own slots hold zeros, and the private variables are the other's. If
    it inherits the first kernels only, that holds up to the first that it does
    not. A warm start mixes these values with newly initialized ones, and owns
    them. Any other task starts from newly initialized kernels and private
    variables.

    Args:
        task: `RunningTask`.
        installation: `Installation`, with the task's head selected.
        bank: `WeightBank`.
        inputs: nest of `KerasTensor`, the backbone's inputs.
        seed: int or `None`.
    """
    backbone = installation.backbone
    if seed is not None:
        for index, layer in enumerate((backbone, installation.heads.head)):
            layer_seed = derived_seed(seed, len(bank.tasks), index)
            reset_seed_generators(layer, layer_seed)
    if not bank.tasks:
        return
    with installation.trainable_as_made():
        values = fresh_weights(backbone, inputs)
    fresh = dict(zip(map(id, backbone.weights), values))
    for kernel in installation.kernels:
        if kernel.scores is not None:
            kernel.scores.assign(fresh[id(kernel.scores)])
    values = [fresh[id(kernel.kernel)] for kernel in installation.kernels]
    values = _start_of_kernels(task, bank, values)
    for kernel, value in zip(installation.kernels, values):
        kernel.kernel.assign(value)
    values = [fresh[id(v)] for v in installation.private_of_backbone]
    values = _start_of_private(task, installation, bank, values)
    for variable, value in zip(installation.private, values):
        variable.assign(value)


def _start_of_kernels(
    task: RunningTask, bank: WeightBank, fresh: list[np.ndarray]
) -> list[np.ndarray]:
    part = task.choice.warm_start
    if task.inherits is not None:
        joined = [np.zeros_like(value) for value in fresh[: task.num_joined]]
        return joined + fresh[task.num_joined :]
    if not part:
        return fresh
    nearest = task.choice.nearest
    return [
        _mixed(value, other, part)
        for value, other in zip(fresh, bank.effective(nearest))
    ]


def _start_of_private(
    task: RunningTask,
    installation: Installation,
    bank: WeightBank,
    fresh: list[np.ndarray],
) -> list[np.ndarray]:
    """Returns values of the backbone's variables, and the head's if known."""
    part = 1.0 if task.inherits is not None else task.choice.warm_start
    if not part:
        return fresh
    nearest = task.choice.nearest
    others = bank.private(nearest)
    if task.num_joined not in (0, len(task.planes)):
        count = _private_before(installation, task.num_joined)
        return others[:count] + fresh[count:]
    if bank[nearest].head == task.head and not task.keeps_head:
        head = installation.heads.head.weights
        fresh = fresh + [keras.ops.convert_to_numpy(v) for v in head]
    return [_mixed(value, other, part) for value, other in zip(fresh, others)]


def _private_before(installation: Installation, kernel: int) -> int:
    """Returns how many private variables come before a kernel's."""
    weights = list(map(id, installation.backbone.weights))
    limit = weights.index(id(installation.kernels[kernel].kernel))
    private = installation.private_of_backbone
    return sum(weights.index(id(variable)) < limit for variable in private)


def _mixed(value: np.ndarray, other: np.ndarray, part: float) -> np.ndarray:
    """Returns `part * other + (1 - part) * value`, or `other` itself."""
    if part == 1.0 or not keras.backend.is_float_dtype(value.dtype.name):
        return other
    return np.asarray(part * other + (1.0 - part) * value, value.dtype)
