"""What the bank keeps of a task that is pruned and quantized."""

import numpy as np

from tsn_keras.bank import FLOAT_WIDTH, Component, PrivateCode, TaskRecord
from tsn_keras.pruning import TaskMask
from tsn_keras.quantization import Codebook
from tsn_keras.running_task import RunningTask
from tsn_keras.validation import Validation


def pack_kernels(
    masks: list[TaskMask],
    own: list[np.ndarray],
    shared: list[np.ndarray],
    kernels: list[np.ndarray],
    codebooks: list[Codebook] | None,
    reference: list[np.ndarray] | None,
) -> list[Component]:
    """Packs a task's codes and codes its masks.

    Args:
        masks: list of `TaskMask`, which know what is owned on the plane.
        own: list of bool arrays, the own slots.
        shared: list of bool arrays, the shared slots.
        kernels: list of float32 arrays, the effective kernels.
        codebooks: list of `Codebook`, or `None` for float32 values.
        reference: list of bool arrays or `None`, masks that the task's are
            coded with the help of.

    Returns:
        list of `Component`, one a kernel.
    """
    components = []
    for index, mask in enumerate(masks):
        quantized = {"width": FLOAT_WIDTH}
        if codebooks is not None:
            codebook = codebooks[index]
            quantized = {
                "width": codebook.width,
                "codebook": codebook.centroids,
                "codes": codebook.codes,
            }
        component = Component.encode(
            own[index],
            shared[index],
            mask.owned,
            kernels[index],
            reference=reference and reference[index],
            **quantized,
        )
        components.append(component)
    return components


def make_record(
    task: RunningTask,
    components: list[Component],
    private: list[PrivateCode],
    validation: Validation,
    qualities: tuple[float, float, float],
) -> TaskRecord:
    """Returns the record of a task, without statistics of its activations.

    Args:
        task: `RunningTask`.
        components: list of `Component`.
        private: list of `PrivateCode`.
        validation: `Validation` that the qualities are of.
        qualities: tuple of float, before the consolidation, after its
            pruning, and with the stored bits; higher is better.
    """
    sign, choice = validation.sign, task.choice
    before, pruned, after = (round(sign * q, 6) for q in qualities)
    divergence = choice.divergence
    if divergence is not None:
        # The bank counts every digit.
        divergence = float(f"{divergence:.4g}")
    facts = {
        "nearest": choice.nearest,
        "divergence": divergence,
        "reason": choice.reason,
        "losses": choice.losses,
        "monitor": validation.monitor,
        "better": int(sign),
        "before": before,
        "pruned": pruned,
        "after": after,
    }
    if validation.monitor in task.progress.denser:
        lowest, highest = task.progress.denser[validation.monitor]
        facts["denser"] = round(highest if sign > 0 else lowest, 6)
    return TaskRecord(
        name=task.name,
        planes=task.planes,
        head=task.head,
        components=tuple(components),
        private=tuple(private),
        statistics=PrivateCode.encode(np.zeros(0, np.float32), FLOAT_WIDTH),
        facts=facts,
    )
