"""Masks that tasks on different planes have in common."""

import numpy as np

from tsn_keras.bank import WeightBank


def mask_donor(
    bank: WeightBank, kernels: list[int], available: list[np.ndarray]
) -> str | None:
    """Returns the task whose mask of some kernels a new task takes over.

    That is the last one, if all slots which it uses there are available. If
    it has these masks from an earlier task itself, it is that one: then none is
    decoded by way of others.

    Args:
        bank: `WeightBank`.
        kernels: list of int, the kernels.
        available: list of bool arrays, the slots that the new task may own.

    Returns:
        str, or `None` if the task is the first or the slots are full.
    """
    if not bank.tasks or not kernels:
        return None
    last = bank.tasks[-1]
    used = bank.used_slots(last)
    if any((used[index] & ~available[index]).any() for index in kernels):
        return None
    reference = bank[last].reference
    if reference is not None:
        first = bank.tasks[reference]
        masks = bank.used_slots(first)
        if all(np.array_equal(used[i], masks[i]) for i in kernels):
            return first
    return last
