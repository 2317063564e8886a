"""What `consolidate` tells about a task."""

import dataclasses
from typing import Any

from tsn_keras.bank import TaskRecord, WeightBank
from tsn_keras.sharing.plane_choice import REASONS

# Quality (1.0 is 100 % accuracy) that a stage may cost without a warning.
LARGEST_LOSS = 0.01
MOST_DEAD_UNITS = 0.5
# How far a task that shares may fall behind the one it shares with.
LARGEST_TRANSFER_LOSS = 0.03


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """The outcome of a task's consolidation.

    Args:
        name: str.
        plane: int, the highest where kernels lie on several.
        nearest: str or `None`, the most similar earlier task.
        divergence: float or `None`, its KL divergence.
        sharing: str, what was chosen and why.
        sparsity: dict by kernel path, fraction of slots left out.
        bits: dict by kernel path, width of the codes.
        own: dict by kernel path, number of own slots.
        shared: dict by kernel path, number of shared slots.
        monitor: str, the name of the measured quality.
        quality_before: float, validated before consolidation.
        quality_after: float, validated with the stored bits.
        effects: dict, what each stage added to the validated quality; negative
            is lost. `training`: since the best epoch in which the masks held
            more slots than at the end, `None` if `fit` validated no such epoch.
            `pruning` and `quantization`: in the consolidation. `sharing`: to
            the negative loss in its trial, `None` without one.
        warnings: list of str, known failures and their remedies.
    """

    name: str
    plane: int
    nearest: str | None
    divergence: float | None
    sharing: str
    sparsity: dict[str, float]
    bits: dict[str, int]
    own: dict[str, int]
    shared: dict[str, int]
    monitor: str
    quality_before: float
    quality_after: float
    effects: dict[str, float | None]
    warnings: list[str]

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
    effects = _effects(record.facts)
    return TaskReport(
        name=task,
        plane=record.plane,
        nearest=record.facts["nearest"],
        divergence=record.facts["divergence"],
        sharing=_sharing(bank, record, any(shared.values())),
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
        effects=effects,
        warnings=[
            *_pruning_warnings(effects, masks),
            *_quantization_warnings(effects),
            *_sharing_warnings(bank, record, any(shared.values())),
        ],
    )


def _sharing(bank: WeightBank, record: TaskRecord, joined: bool) -> str:
    facts = record.facts
    chosen = _shares(bank, record) if joined else "own plane"
    text = f"{chosen}: {REASONS[facts.get('reason') or 'strategy']}"
    if facts.get("losses"):
        text += " ({} shared, {} on an own plane)".format(*facts["losses"])
    return text


def _shares(bank: WeightBank, record: TaskRecord) -> str:
    nearest = record.facts["nearest"]
    if nearest is None:
        return "shares with all earlier tasks of its plane"
    pairs = list(zip(record.planes, bank[nearest].planes))
    same = sum(plane == other for plane, other in pairs)
    first = f" the first {same} of {len(pairs)} kernels"
    return f"shares{first if same < len(pairs) else ''} with '{nearest}'"


def _effects(facts: dict) -> dict[str, float | None]:
    # Whether higher is better is told by the sign of `better`.
    better = facts.get("better", 1)
    before, after = facts["before"], facts["after"]
    pruned = facts.get("pruned", before)
    losses, denser = facts.get("losses"), facts.get("denser")
    training = None if denser is None else round(better * (before - denser), 6)
    return {
        "training": training,
        "pruning": round(better * (pruned - before), 6),
        "quantization": round(better * (after - pruned), 6),
        "sharing": round(losses[1] - losses[0], 6) if losses else None,
    }


def _pruning_warnings(effects: dict, masks: dict) -> list[str]:
    texts = []
    for path, (own, shared) in masks.items():
        used = (own | shared).reshape(-1, own.shape[-1])
        dead = 1.0 - used.any(axis=0).mean()
        if dead > MOST_DEAD_UNITS:
            texts.append(
                f"Over-pruned: {dead:.0%} of the units of kernel '{path}' have "
                "no incoming weight. Lower `sparsity`, or raise `budget`, in "
                "`pruning`."
            )
    if (effects["training"] or 0.0) < -LARGEST_LOSS:
        texts.append(
            f"Over-pruned: training has lost {-effects['training']:.4f} of the "
            "quality since the masks held more slots. Lower `sparsity`, or "
            "raise `budget`, in `pruning`, or train for more epochs."
        )
    if effects["pruning"] < -LARGEST_LOSS:
        texts.append(
            f"Over-pruned: pruning in `consolidate` cost "
            f"{-effects['pruning']:.4f} of the quality. Lower the `tolerance` "
            "of `pruning`."
        )
    return texts


def _quantization_warnings(effects: dict) -> list[str]:
    if effects["quantization"] >= -LARGEST_LOSS:
        return []
    return [
        f"Over-quantized: codes cost {-effects['quantization']:.4f} of the "
        "quality. Lower the `tolerance` of `quantization`, or raise its "
        "`min_width`, `max_width` or `fine_tune_steps`."
    ]


def _sharing_warnings(bank, record, joined: bool) -> list[str]:
    facts, nearest = record.facts, record.facts["nearest"]
    if not joined or nearest is None:
        return []
    other = bank[nearest].facts
    loss = facts.get("better", 1) * (other["after"] - facts["after"])
    if other["monitor"] != facts["monitor"] or loss < LARGEST_TRANSFER_LOSS:
        return []
    return [
        f"Negative transfer: with the weights of '{nearest}' the quality is "
        f"{loss:.4f} under that task's. Lower `threshold` of `sharing`, raise "
        "its `own_fraction`, or use `sharing=None`."
    ]
