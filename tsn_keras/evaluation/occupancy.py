"""Who owns which bits of which slots, and how far masks overlap."""

import dataclasses

import numpy as np

from tsn_keras.bank import SLOT_BITS, WeightBank
from tsn_keras.data import shown

# So many slots of a kernel are shown.
SAMPLED_SLOTS = 96
# Whose the slots are that are left of removed tasks.
REMOVED = "(removed tasks)"


@dataclasses.dataclass(frozen=True)
class KernelOccupancy:
    """What the slots of one kernel hold.

    Args:
        path: The kernel's name.
        size: The number of its slots.
        bits: By task, the bits of all its components; the last one, if there
            is one more, are those of removed tasks that others share.
        most: The used bits of the fullest slot.
        slots: Some slots, the fullest first: of each one the number of every
            task that owns bits there, and how many.
    """

    path: str
    size: int
    bits: list[int]
    most: int
    slots: list[tuple[tuple[int, int], ...]]

    @property
    def fraction(self) -> float:
        """The part of all bits that is used."""
        return sum(self.bits) / (SLOT_BITS * self.size) if self.size else 0.0


def occupancy(bank: WeightBank) -> list[KernelOccupancy]:
    """Returns what the slots of each kernel hold.

    Example:

    >>> bank = tsn_keras.bank.WeightBank([(3, 4)], ["dense/kernel"])
    >>> (kernel,) = occupancy(bank)
    >>> kernel.size, kernel.bits, kernel.fraction
    (12, [], 0.0)
    """
    check_bank(bank)
    return [_occupancy(bank, index) for index in range(len(bank.paths))]


def mask_overlap(bank: WeightBank) -> np.ndarray:
    """Returns how far the masks of each two tasks overlap.

    That is the number of slots in both masks divided by those in either, over
    all kernels: 1 for equal masks, 0 for masks without a common slot.

    Returns:
        float64 array `[tasks, tasks]`.
    """
    check_bank(bank)
    # As bits: all masks are held at once.
    masks = [
        np.concatenate([np.packbits(m) for m in bank.used_slots(task)])
        for task in bank.tasks
    ]
    overlap = np.eye(len(masks))
    for row, one in enumerate(masks):
        for column, other in enumerate(masks[:row]):
            either = _count(one | other)
            part = _count(one & other) / either if either else 0.0
            overlap[row, column] = overlap[column, row] = part
    return overlap


def bytes_by_task(bank: WeightBank) -> dict[str, dict[str, int]]:
    """Returns the bytes that each task stores, by kind.

    What the tasks have in common, such as metadata, is no part of it. What
    others share of removed tasks has an entry of its own.
    """
    check_bank(bank)
    found = {task: _task_bytes(bank[task]) for task in bank.tasks}
    for record in bank.records:
        if not record.is_task:
            taken, before = _task_bytes(record), found.get(REMOVED, {})
            found[REMOVED] = {k: n + before.get(k, 0) for k, n in taken.items()}
    return found


def check_bank(bank: WeightBank) -> None:
    """Refuses all but weight banks."""
    if not isinstance(bank, WeightBank):
        raise TypeError(
            "`bank` must be a tsn_keras.bank.WeightBank, such as `model.bank` "
            f"of a built model. Received: bank={shown(bank)}"
        )


def _task_bytes(record) -> dict[str, int]:
    components = record.components
    return {
        "codes": sum(len(c.codes) for c in components),
        "masks": sum(len(c.own_mask) + len(c.shared_mask) for c in components),
        "codebooks": sum(c.codebook.nbytes for c in components),
        "private": sum(len(code.data) for code in record.private),
        "statistics": len(record.statistics.data),
    }


def _count(bits: np.ndarray) -> int:
    return int(np.unpackbits(bits).sum(dtype=np.int64))


def _occupancy(bank: WeightBank, index: int) -> KernelOccupancy:
    used = bank.used_bits(index).ravel()
    fullest_first = np.argsort(-used.astype(np.int16), kind="stable")
    count = min(SAMPLED_SLOTS, used.size)
    places = (np.arange(count) + 0.5) * used.size / max(1, count)
    sample = fullest_first[places.astype(np.int64)]
    bits, held = [], [[] for _ in sample]
    tasks = {bank.number(task): n for n, task in enumerate(bank.tasks)}
    if len(bank.records) > len(tasks):
        bits = [0]
    bits = [0] * len(tasks) + bits
    for number, record in enumerate(bank.records):
        component = record.components[index]
        place_of = tasks.get(number, len(tasks))
        bits[place_of] += component.width * component.own_count
        if component.own_count:
            owned = bank.own_slots(number, index).ravel()[sample]
            for place in np.flatnonzero(owned):
                held[place].append((place_of, component.width))
    return KernelOccupancy(
        path=bank.paths[index],
        size=used.size,
        bits=bits,
        most=int(used.max(initial=0)),
        slots=sorted(map(tuple, held), key=_by_fill),
    )


def _by_fill(slot: tuple[tuple[int, int], ...]) -> tuple:
    """The fullest first, and those of the same tasks side by side."""
    return -sum(width for _, width in slot), slot
