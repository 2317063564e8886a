"""From the records of a bank to slots and kernels."""

import bisect
import math

import numpy as np

from tsn_keras.bank.plane import Plane
from tsn_keras.bank.task_record import TaskRecord

# How much decoded state is kept for each kernel. A plane takes 6 bytes a slot,
# and a reference one bit.
KEPT_PLANES = 4
KEPT_REFERENCES = 8
# Used slots of the tasks that were put to work last, for all kernels.
KEPT_SLOTS_BYTES = 64 * 2**20


class Decoder:
    """Decodes what tasks own and share, and keeps what was used last.

    That includes what a new task has just been found to own.

    Args:
        shapes: list of tuples of int, the kernels' shapes.

    Attributes:
        numbers: dict, the number of each task by its name.
    """

    def __init__(self, shapes: list[tuple[int, ...]]):
        self.shapes = shapes
        self._records: list[TaskRecord] = []
        self.numbers: dict[str, int] = {}
        # The numbers of the tasks on each plane of each kernel, in order.
        self._members: dict[tuple[int, int], list[int]] = {}
        # Decoded state of each kernel: planes and references used last.
        self._planes: list[dict[int, Plane]] = [{} for _ in shapes]
        self._references: list[dict[int, np.ndarray]] = [{} for _ in shapes]
        # Positions and values in each kernel, of tasks used last.
        self._slots: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        # Counted as they come and go: a switch must not look at all tasks.
        self._kept_bytes = 0

    def enter(
        self, record: TaskRecord, own_slots: list[np.ndarray] | None = None
    ) -> None:
        """Adds the record of the next task.

        Args:
            record: `TaskRecord`.
            own_slots: list of bool arrays or `None`, its own slots, if they
                are decoded already.
        """
        for index, plane in enumerate(record.planes if own_slots else ()):
            laid = self._planes[index].get(plane)
            if laid and laid.count == self._rank(record, index):
                values = record.components[index].own_values()
                laid.lay(own_slots[index], values)
        number = len(self._records)
        self._records.append(record)
        self.numbers[record.name] = number
        for key in enumerate(record.planes):
            self._members.setdefault(key, []).append(number)
        if own_slots:
            pairs = enumerate(own_slots)
            parts = [self._used_values(record, *pair) for pair in pairs]
            self._keep_slots(number, parts)

    def plane(
        self, kernel: int, plane: int, before: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the owned slots of a plane and their values.

        Args:
            kernel: int, the kernel's index.
            plane: int.
            before: int. Leaves out the task of this number and all after it.

        Returns:
            bool and float32 array of the kernel's shape, zeros in free slots.
        """
        members = self._members.get((kernel, plane), ())
        rank = bisect.bisect_left(members, before)
        shape = self.shapes[kernel]
        if not rank:
            return np.zeros(shape, bool), np.zeros(shape, np.float32)
        laid = self._laid(kernel, plane, rank)
        owned, frozen = laid.owned(rank), laid.frozen.copy()
        if laid.count > rank:
            frozen[~owned] = 0
        return owned, frozen

    def _laid(self, kernel: int, plane: int, count: int) -> Plane:
        """The state of a plane with at least `count` components laid."""
        kept = self._planes[kernel]
        laid = kept.pop(plane, None) or Plane(self.shapes[kernel])
        _keep(kept, plane, laid, KEPT_PLANES)
        while laid.count < count:
            number = self._members[kernel, plane][laid.count]
            record = self._records[number]
            own = self.own_slots(record, kernel)
            laid.lay(own, record.components[kernel].own_values())
        return laid

    def _rank(self, record: TaskRecord, kernel: int) -> int:
        """How many tasks came before on a task's plane."""
        number = self.numbers.get(record.name, len(self._records))
        members = self._members.get((kernel, record.planes[kernel]), ())
        return bisect.bisect_left(members, number)

    def _owned(self, record: TaskRecord, kernel: int) -> np.ndarray:
        rank = self._rank(record, kernel)
        return self._laid(kernel, record.planes[kernel], rank).owned(rank)

    def own_slots(self, record: TaskRecord, kernel: int) -> np.ndarray:
        """Returns the slots that a task owns in a kernel.

        Args:
            record: `TaskRecord`, which need not have been entered.
            kernel: int, the kernel's index.

        Returns:
            bool array of the kernel's shape.
        """
        component = record.components[kernel]
        owned = None
        if component.needs_owned:
            owned = self._owned(record, kernel)
        reference = self._reference(record, kernel)
        return component.own_slots(self.shapes[kernel], owned, reference)

    def shared_slots(self, record: TaskRecord, kernel: int) -> np.ndarray:
        """Returns the slots of earlier tasks that a task uses in a kernel."""
        component = record.components[kernel]
        if not component.shares:
            return np.zeros(self.shapes[kernel], bool)
        owned = self._owned(record, kernel)
        return component.shared_slots(owned, self._reference(record, kernel))

    def used_slots(self, record: TaskRecord, kernel: int) -> np.ndarray:
        """Returns the slots that a task uses in a kernel, own and shared."""
        own = self.own_slots(record, kernel)
        if not record.components[kernel].shares:
            return own
        return own | self.shared_slots(record, kernel)

    def _reference(self, record: TaskRecord, kernel: int) -> np.ndarray | None:
        """The slots that a component's masks refer to, if they do."""
        if not record.components[kernel].needs_reference:
            return None
        # A chain of references is followed to one that is known or needs
        # none, and then decoded from there.
        kept = self._references[kernel]
        chain = [record.reference]
        while chain[-1] not in kept:
            last = self._records[chain[-1]]
            if not last.components[kernel].needs_reference:
                break
            chain.append(last.reference)
        for number in reversed(chain):
            bits = kept.pop(number, None)
            if bits is None:
                referred = self._records[number]
                bits = np.packbits(self.used_slots(referred, kernel))
            _keep(kept, number, bits, KEPT_REFERENCES)
        shape = self.shapes[kernel]
        flat = np.unpackbits(bits, count=math.prod(shape))
        return flat.view(bool).reshape(shape)

    def effective(self, number: int) -> list[np.ndarray]:
        """Returns the kernels that a task computes with.

        Args:
            number: int, of the task.

        Returns:
            list of float32 arrays, zeros outside the task's mask.
        """
        parts = self._slots.pop(number, None)
        if parts is not None:
            # It is now the one used last.
            self._slots[number] = parts
        else:
            record = self._records[number]
            kernels = range(len(self.shapes))
            parts = [
                self._used_values(record, index, self.own_slots(record, index))
                for index in kernels
            ]
            self._keep_slots(number, parts)
        kernels = []
        for shape, (slots, values) in zip(self.shapes, parts):
            kernel = np.zeros(math.prod(shape), np.float32)
            kernel[slots] = values
            kernels.append(kernel.reshape(shape))
        return kernels

    def _used_values(
        self, record: TaskRecord, kernel: int, own_slots: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The positions of a task's slots in a kernel, and their values."""
        component = record.components[kernel]
        slots = np.flatnonzero(own_slots)
        values = component.own_values()
        if component.shares:
            shared = np.flatnonzero(self.shared_slots(record, kernel))
            rank = self._rank(record, kernel)
            laid = self._laid(kernel, record.planes[kernel], rank)
            slots = np.concatenate([slots, shared])
            values = np.concatenate([values, laid.frozen.reshape(-1)[shared]])
        kind = np.int32 if slots.max(initial=0) < 2**31 else np.int64
        return slots.astype(kind), values

    def _keep_slots(
        self, number: int, parts: list[tuple[np.ndarray, np.ndarray]]
    ) -> None:
        self._slots[number] = parts
        self._kept_bytes += _num_bytes(parts)
        while len(self._slots) > 1 and self._kept_bytes > KEPT_SLOTS_BYTES:
            oldest = self._slots.pop(next(iter(self._slots)))
            self._kept_bytes -= _num_bytes(oldest)


def _num_bytes(parts: list[tuple[np.ndarray, np.ndarray]]) -> int:
    return sum(slots.nbytes + values.nbytes for slots, values in parts)


def _keep(kept: dict, key, value, most: int) -> None:
    """Keeps a value as the one used last, and forgets the oldest of many."""
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]
