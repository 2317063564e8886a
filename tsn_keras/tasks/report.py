"""What `consolidate` tells about a task, and the table of `summary`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from tsn_keras.bank import SLOT_BITS, KernelUsage, TaskRecord, WeightBank
from tsn_keras.files import DamagedFileError
from tsn_keras.sharing import REASONS
from tsn_keras.tables import Column, Table, Tabular

# Qualities are stored with six digits.
ROUNDING = 1e-6
# What is said of a stage that costs more than the task may lose in all.
STAGE_WARNINGS = {
    "training": "Over-pruned: training has lost {cost:.4f} of the quality "
    "since the masks held more slots. Lower `sparsity`, or raise `budget`, in "
    "`pruning`, train for more epochs, or use the default pruning.",
    "pruning": "Over-pruned: pruning in `consolidate` cost {cost:.4f} of the "
    "quality. Lower the `sparsity` of `pruning`, or use the default pruning, "
    "which finds it; give `consolidate` the `training_data` if it had none.",
    "quantization": "Over-quantized: codes cost {cost:.4f} of the quality. "
    "Raise `min_width`, `max_width` or `fine_tune_steps` of `quantization`, or "
    "lower its `tolerance`.",
    "private": "Private variables: storing biases, normalization and head in "
    "fewer bits cost {cost:.4f} of the quality. Lower the `tolerance` of the "
    "model.",
}
MOST_DEAD_UNITS = 0.5
# How far a task that shares may fall behind the one it shares with.
LARGEST_TRANSFER_LOSS = 0.03
# What is told of each kernel.
_COLUMNS = (
    Column("kernel"),
    Column("sparsity", ".1%"),
    Column("bits"),
    Column("own"),
    Column("shared"),
)

# What a report is made of, and of which types it is.
NUMBERS = int, float
FACTS = {
    "nearest": (str, type(None)),
    "divergence": (*NUMBERS, type(None)),
    "reason": (str, type(None)),
    "losses": (list, type(None)),
    "inference": (str,),
    "monitor": (str,),
    "validated_on_training_data": (bool, type(None)),
    "finds_sparsity": (bool, type(None)),
    "class_names": (list, type(None)),
    **dict.fromkeys(("before", "after"), NUMBERS),
    **dict.fromkeys(
        ("better", "pruned", "quantized", "allowed")
        + ("loss", "chance", "denser"),
        (*NUMBERS, type(None)),
    ),
}
REQUIRED_FACTS = "nearest", "divergence", "monitor", "before", "after"


@dataclasses.dataclass(frozen=True)
class TaskReport(Tabular):
    """The outcome of a task's consolidation.

    Printed, it is a short table, and so at the end of a notebook's cell.

    Args:
        plane: The highest one where kernels lie on several.
        nearest: The most similar earlier task, if there is one.
        divergence: KL divergence from it.
        sharing: What was chosen, and why.
        sparsity: By kernel path, the fraction of slots left out.
        bits: By kernel path, the width of the codes.
        own: By kernel path, the number of own slots.
        shared: By kernel path, the number of shared slots.
        quality_before: Validated as `fit` left the task: with the default
            pruning that is the dense network.
        quality_after: Validated with the stored bits.
        allowed_loss: What consolidation may lose of the quality, as the model's
            `tolerance` says, in the unit of the quality.
        loss: What it lost; negative if the quality is better.
        kept: Whether that is no more than allowed.
        effects: What each stage added to the validated quality; negative is
            lost. `training`: since the best epoch in which the masks held more
            slots than at the end, `None` if `fit` validated no such epoch.
            `pruning`, `quantization` and `private` (the private variables): in
            the consolidation. `sharing`: to the negative loss in its trial,
            `None` without one.
        class_names: Of the head's outputs, if they were given.
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
    allowed_loss: float
    loss: float
    kept: bool
    effects: dict[str, float | None]
    warnings: list[str]
    class_names: list[str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the task's entry in `report.json`."""
        return dataclasses.asdict(self)

    def _table(self) -> Table:
        return self._shown().labelled(task=self.name)

    def _shown(self) -> Table:
        kept = "kept" if self.kept else "MISSED"
        title = (
            f"Task '{self.name}': {self.monitor} {self.quality_before:.4f} "
            f"trained, {self.quality_after:.4f} stored; tolerance "
            f"{self.allowed_loss:.4f} {kept}"
        )
        rows = [
            (path, self.sparsity[path], self.bits[path], own, self.shared[path])
            for path, own in self.own.items()
        ]
        notes = [f"plane {self.plane}, {self.sharing}"]
        notes += [f"warning: {text}" for text in self.warnings]
        return Table(_COLUMNS, rows, title, notes)


def check_facts(bank: WeightBank) -> None:
    """Refuses a saved bank whose facts are none that a report is made of.

    Raises:
        DamagedFileError: If a fact is missing or of another kind.
    """
    for index, task in enumerate(bank.tasks):
        facts, earlier = bank[task].facts, bank.tasks[:index]
        losses, nearest = facts.get("losses"), facts.get("nearest")
        wrong = [name for name in REQUIRED_FACTS if name not in facts]
        wrong += [
            name
            for name, kinds in FACTS.items()
            if name in facts and type(facts[name]) not in kinds
        ]
        if (facts.get("reason") or "strategy") not in REASONS:
            wrong.append("reason")
        if nearest is not None and nearest not in earlier:
            wrong.append("nearest")
        for name, kind in (("losses", float), ("class_names", str)):
            parts = facts.get(name)
            if isinstance(parts, list) and any(
                type(part) is not kind for part in parts
            ):
                wrong.append(name)
        if isinstance(losses, list) and len(losses) != 2:
            wrong.append("losses")
        if wrong:
            raise DamagedFileError(
                f"The saved weight bank is damaged, or was not written by "
                f"tsn_keras: what it says of {wrong} of task '{task}' cannot "
                "be. Load another copy of the file."
            )


def make_report(bank: WeightBank, task: str) -> TaskReport:
    """Returns the report of a consolidated task from what the bank stores."""
    record, facts, usage = bank[task], bank[task].facts, bank.usage(task)
    effects = _effects(facts)
    joined = any(kernel.num_shared for kernel in usage)
    lost = facts.get("better", 1) * (facts["before"] - facts["after"])
    lost, allowed = round(lost, 6), facts.get("allowed", 0.0)
    kept = lost <= allowed + ROUNDING
    # What was found to be needed by nobody is no matter.
    is_fine = kept and facts.get("finds_sparsity")
    return TaskReport(
        name=task,
        plane=record.plane,
        nearest=facts["nearest"],
        divergence=facts["divergence"],
        sharing=_sharing(bank, record, joined),
        sparsity={kernel.path: kernel.sparsity for kernel in usage},
        bits={kernel.path: kernel.width for kernel in usage},
        own={kernel.path: kernel.num_own for kernel in usage},
        shared={kernel.path: kernel.num_shared for kernel in usage},
        monitor=facts["monitor"],
        quality_before=facts["before"],
        quality_after=facts["after"],
        allowed_loss=allowed,
        loss=lost,
        kept=kept,
        effects=effects,
        warnings=[
            *_chance_warnings(facts),
            *_stage_warnings(effects, allowed),
            *_unit_warnings(() if is_fine else usage),
            *_sharing_warnings(bank, record, joined),
        ],
        class_names=record.class_names,
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
    if record.facts.get("reason") == "removed":
        return "shares with a task of which only this is left"
    if nearest is None:
        return "shares with all earlier tasks of its plane"
    pairs = list(zip(record.planes, bank[nearest].planes))
    same = sum(plane == other for plane, other in pairs)
    first = f" the first {same} of {len(pairs)} kernels"
    return f"shares{first if same < len(pairs) else ''} with '{nearest}'"


def _effects(facts: dict) -> dict[str, float | None]:
    # Whether higher is better is told by the sign of `better`.
    better, losses = facts.get("better", 1), facts.get("losses")

    def gain(stage, earlier):
        if facts.get(stage) is None or facts.get(earlier) is None:
            return None
        return round(better * (facts[stage] - facts[earlier]), 6)

    return {
        "training": gain("before", "denser"),
        "pruning": gain("pruned", "before"),
        "quantization": gain("quantized", "pruned"),
        "private": gain("after", "quantized"),
        "sharing": round(losses[1] - losses[0], 6) if losses else None,
    }


def _chance_warnings(facts: dict) -> list[str]:
    texts, chance = [], facts.get("chance")
    if facts.get("validated_on_training_data"):
        texts.append(
            "The validation data are the training data. What they tell of the "
            "quality is too good, and other data may lose more than allowed. "
            "Hold some examples out."
        )
    if chance is not None:
        for quality, when in (
            (facts["before"], "already as `fit` left it"),
            (facts["after"], "after its consolidation"),
        ):
            if quality <= chance + ROUNDING:
                texts.append(
                    f"At chance level, {when}: {facts['monitor']} "
                    f"{quality:.4f}, and always answering the commonest class "
                    f"has {chance:.4f}."
                )
                break
    return texts


def _stage_warnings(effects: dict, allowed: float) -> list[str]:
    """Names the stages that cost more than all that may be lost.

    The one that cost most comes first.
    """
    costs = {
        stage: -(effects[stage] or 0.0)
        for stage in STAGE_WARNINGS
        if -(effects[stage] or 0.0) > allowed + ROUNDING
    }
    worst_first = sorted(costs, key=lambda stage: -costs[stage])
    return [STAGE_WARNINGS[s].format(cost=costs[s]) for s in worst_first]


def _unit_warnings(usage: Sequence[KernelUsage]) -> list[str]:
    return [
        f"Over-pruned: {kernel.dead_units:.0%} of the units of kernel "
        f"'{kernel.path}' have no incoming weight. Lower `sparsity`, or raise "
        "`budget`, in `pruning`; by default, the model's `tolerance`."
        for kernel in usage
        if kernel.dead_units > MOST_DEAD_UNITS
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


def print_tasks(
    bank: WeightBank | None, print_fn: Callable[[str], None]
) -> None:
    """Prints sparsity, bits, own and shared slots, and what is left."""
    if bank is None or not bank.tasks:
        return
    columns = [Column("task"), _COLUMNS[0], Column("plane"), *_COLUMNS[1:]]
    rows = [
        (
            *(task, kernel.path, kernel.plane, kernel.sparsity, kernel.width),
            *(kernel.num_own, kernel.num_shared),
        )
        for task in bank.tasks
        for kernel in bank.usage(task)
    ]
    for line in str(Table(columns, rows)).splitlines():
        print_fn(line)
    for index, path in enumerate(bank.paths):
        used = bank.used_bits(index)
        free = 1.0 - used.mean() / SLOT_BITS
        print_fn(
            f"{path}: {free:.1%} of the bits free, at most {used.max()} of "
            f"{SLOT_BITS} used in a slot"
        )
