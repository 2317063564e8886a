"""Takes a task out of a bank, whose other tasks keep every bit."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from tsn_keras.bank.decoder import KernelDecoder
from tsn_keras.bank.records import (
    FLOAT_WIDTH,
    Component,
    PrivateCode,
    TaskRecord,
)

NO_HEAD = 0
# What the reports of other tasks say in place of a removed one.
REMOVED = "removed"


def without_task(
    records: Sequence[TaskRecord],
    kernels: Sequence[KernelDecoder],
    number: int,
) -> list[TaskRecord]:
    """Returns the records of a bank without one of its tasks.

    What other tasks share of it becomes a record without a name. Such records
    of tasks that were removed before lose what nobody shares any more.

    Args:
        records: Of all tasks.
        kernels: The decoders of these records.
        number: Of the task among the records.
    """
    removed = records[number]
    records = [_without_mention(record, removed) for record in records]
    records[number] = _remainder(removed)
    # Who was coded by it may be alike to what it was coded by itself.
    references = [
        removed.reference if record.reference == number else record.reference
        for record in records
    ]
    references[number] = None
    tasks = [record.is_task for record in records]
    columns = [_components(kernel, tasks, references) for kernel in kernels]
    rows = zip(*columns) if columns else [()] * len(records)
    records = [
        dataclasses.replace(record, components=row, reference=reference)
        for record, row, reference in zip(records, rows, references)
    ]
    return _without_empty(records)


def _remainder(record: TaskRecord) -> TaskRecord:
    """Returns a record of which only the components are left."""
    nothing = PrivateCode.encode(np.zeros(0, np.float32), FLOAT_WIDTH)
    return TaskRecord(
        name=None,
        planes=record.planes,
        head=NO_HEAD,
        components=record.components,
        private=(),
        statistics=nothing,
        facts={},
    )


def _without_mention(record: TaskRecord, removed: TaskRecord) -> TaskRecord:
    """Returns a record whose facts do not name a task."""
    facts = dict(record.facts)
    if facts.get("nearest") != removed.name or not record.is_task:
        return record
    facts.update(nearest=None, divergence=None, reason=REMOVED, losses=None)
    return dataclasses.replace(record, facts=facts)


def _components(
    decoder: KernelDecoder,
    tasks: list[bool],
    references: list[int | None],
) -> list[Component]:
    """Returns a kernel's components, with what is shared of those no tasks.

    Args:
        tasks: Whether each one is a task's.
        references: By which ones the masks of tasks are coded.
    """
    entries = decoder.entries
    needed = _shared_by_tasks(decoder, tasks)
    # Masks are coded by what earlier ones own.
    first = tasks.index(False)
    nowhere = np.zeros(decoder.shape, bool)
    owned = collections.defaultdict(nowhere.copy)
    components = []
    for index, entry in enumerate(entries):
        own, before = decoder.own_slots(entry), owned[entry.plane]
        component, kept = entry.component, own
        if not tasks[index]:
            kept = own & needed.get(entry.plane, nowhere)
            component = component.reduced(own, kept, before)
        elif index > first:
            by = references[index]
            component = component.with_masks(
                own,
                decoder.shared_slots(entry),
                before,
                None if by is None else decoder.used_mask(entries[by]),
            )
        components.append(component)
        owned[entry.plane] = before | kept
    return components


def _shared_by_tasks(
    decoder: KernelDecoder, tasks: list[bool]
) -> dict[int, np.ndarray]:
    """Returns the slots of each plane that some task shares."""
    needed: dict[int, np.ndarray] = {}
    for entry, is_task in zip(decoder.entries, tasks):
        if is_task and entry.component.shares:
            shared = decoder.shared_slots(entry)
            needed[entry.plane] = needed.get(entry.plane, False) | shared
    return needed


def _without_empty(records: list[TaskRecord]) -> list[TaskRecord]:
    """Drops records that have neither a name nor slots, and counts anew."""
    kept = [
        index
        for index, record in enumerate(records)
        if record.is_task or any(c.own_count for c in record.components)
    ]
    numbers = {None: None, **{old: new for new, old in enumerate(kept)}}
    return [
        dataclasses.replace(
            records[index], reference=numbers[records[index].reference]
        )
        for index in kept
    ]
