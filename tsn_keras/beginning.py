"""What happens before the first training step of a task."""

from collections.abc import Callable

import numpy as np
from keras import tree

from tsn_keras.bank import WeightBank, widest_width
from tsn_keras.initialization import (
    derived_seed,
    fresh_weights,
    reset_seed_generators,
)
from tsn_keras.installation import Installation
from tsn_keras.pruning import Pruning, TaskMask, kept_slots
from tsn_keras.running_task import RunningTask
from tsn_keras.sharing import (
    Sharing,
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
        float16 array.
    """
    backbone = installation.backbone
    kernels = [kernel.kernel for kernel in installation.kernels]
    inputs = tree.map_structure(np.asarray, sample)
    return activation_statistics(
        lambda: backbone(inputs, training=False),
        masked_layers(backbone, kernels),
    )


def choose_plane(
    task: RunningTask,
    sharing: Sharing,
    bank: WeightBank,
    statistics: Callable[[str], np.ndarray],
) -> None:
    """Lets the sharing strategy choose the plane of a task.

    Args:
        task: `RunningTask`, whose plane is set.
        sharing: `Sharing` strategy.
        bank: `WeightBank`.
        statistics: function of an earlier task's name; the statistics of the
            new task's sample in that task's subnetwork.
    """
    divergences = {}
    if sharing.needs_statistics:
        divergences = {
            name: kl_divergence(statistics(name), bank[name].statistics)
            for name in bank.tasks
        }
    planes = {name: bank[name].plane for name in bank.tasks}
    choice = sharing.choose(planes, divergences)
    task.plane = choice.plane
    if choice.plane is None:
        task.plane = max(planes.values(), default=-1) + 1
    task.nearest = choice.nearest
    task.divergence = choice.divergence


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
    view = bank.plane_view((task.plane,) * len(bank.shapes))
    limits, masks = [], []
    for index, kernel in enumerate(installation.kernels):
        used, owned = bank.used_bits(index), view.owned[index]
        sparsity = pruning.target(kernel.path) if pruning else 0.0
        count = kept_slots(kernel.size, sparsity)
        width = widest_width(used, owned, count, *widths, kernel.path)
        # The sum is taken in a wide type: 32 + 32 would pass in uint8 too,
        # but a user's max_width must never wrap around.
        available = owned | (used.astype(np.int32) + width <= 32)
        limits.append(width)
        frozen = view.frozen[index]
        masks.append(TaskMask(kernel, owned, frozen, available))
    task.widths, task.masks = limits, masks


def start_values(
    task: RunningTask,
    installation: Installation,
    bank: WeightBank,
    inputs,
    seed: int | None,
) -> None:
    """Gives kernels and private variables the values training starts from.

    The first task takes the backbone as it is, so that pretrained weights
    count. Every later one starts from newly initialized kernels; its private
    variables do too, or from the nearest task's if it shares that plane.

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
    values = fresh_weights(backbone, inputs)
    fresh = dict(zip(map(id, backbone.weights), values))
    for kernel in installation.kernels:
        kernel.kernel.assign(fresh[id(kernel.kernel)])
        if kernel.scores is not None:
            kernel.scores.assign(fresh[id(kernel.scores)])
    private = [fresh[id(v)] for v in installation.private_of_backbone]
    if task.nearest is not None and bank[task.nearest].plane == task.plane:
        private = bank.private(task.nearest)[: len(private)]
    for variable, value in zip(installation.private_of_backbone, private):
        variable.assign(value)
