"""What `consolidate` tells about a task."""

import dataclasses
from typing import Any

from tsn_keras.bank.weight_bank import WeightBank


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """The outcome of a task's consolidation.

    Args:
        name: str.
        plane: int.
        nearest: str or `None`, the most similar earlier task.
        divergence: float or `None`, its KL divergence.
        sparsity: dict by kernel path, fraction of slots left out.
        bits: dict by kernel path, width of the codes.
        own: dict by kernel path, number of own slots.
        shared: dict by kernel path, number of shared slots.
        monitor: str, the name of the measured quality.
        quality_before: float, validated before consolidation.
        quality_after: float, validated with the stored bits.
    """

    name: str
    plane: int
    nearest: str | None
    divergence: float | None
    sparsity: dict[str, float]
    bits: dict[str, int]
    own: dict[str, int]
    shared: dict[str, int]
    monitor: str
    quality_before: float
    quality_after: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the task's entry in `report.json`."""
        return dataclasses.asdict(self)


def make_report(bank: WeightBank, task: str) -> TaskReport:
    """Returns the report of a task from what the bank stores of it.

    Args:
        bank: `WeightBank`.
        task: str, a consolidated task.
    """
    record = bank[task]
    masks = dict(zip(bank.paths, bank.masks(task)))
    own = {path: int(mask.sum()) for path, (mask, _) in masks.items()}
    shared = {path: int(mask.sum()) for path, (_, mask) in masks.items()}
    sizes = {path: mask.size for path, (mask, _) in masks.items()}
    widths = (component.width for component in record.components)
    return TaskReport(
        name=task,
        plane=record.plane,
        nearest=record.facts["nearest"],
        divergence=record.facts["divergence"],
        sparsity={
            path: 1.0 - (own[path] + shared[path]) / sizes[path]
            for path in bank.paths
        },
        bits=dict(zip(bank.paths, widths)),
        own=own,
        shared=shared,
        monitor=record.facts["monitor"],
        quality_before=record.facts["before"],
        quality_after=record.facts["after"],
    )
