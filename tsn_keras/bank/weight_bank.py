"""The store of all consolidated tasks."""

import bisect
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from tsn_keras.bank import serialization
from tsn_keras.bank.budget import SLOT_BITS, BudgetError
from tsn_keras.bank.plane import Plane
from tsn_keras.bank.private_code import FULL, SAME, PrivateCode
from tsn_keras.bank.task_record import TaskRecord

# How much decoded state is kept for each kernel. A plane takes 6 bytes a slot,
# and a reference one bit.
KEPT_PLANES = 4
KEPT_REFERENCES = 8


@dataclasses.dataclass
class PlaneView:
    """What a task sees of the plane it joins, one array a kernel.

    Args:
        owned: list of bool arrays, the slots that earlier tasks own.
        frozen: list of float32 arrays, their values; zeros elsewhere.
    """

    owned: list[np.ndarray]
    frozen: list[np.ndarray]


class WeightBank:
    """Holds what every consolidated task stores, and never changes it.

    Args:
        shapes: list of tuples of int, the kernels' shapes.
        paths: list of str, the kernels' names for messages.

    Example:

    >>> bank = WeightBank([(3, 4)], ["dense/kernel"])
    >>> bank.tasks, bank.used_bits(0).max()
    ((), np.uint8(0))
    """

    def __init__(self, shapes: list[tuple[int, ...]], paths: list[str]):
        self.shapes = list(shapes)
        self.paths = list(paths)
        self.base: tuple[PrivateCode, ...] = ()
        self._records: dict[str, TaskRecord] = {}
        self._numbers: dict[str, int] = {}
        # The numbers of the tasks on each plane of each kernel, in order.
        self._members: dict[tuple[int, int], list[int]] = {}
        self._used_bits: list[np.ndarray] | None = None
        # Decoded state of each kernel: planes and references used last.
        self._planes: list[dict[int, Plane]] = [{} for _ in shapes]
        self._references: list[dict[int, np.ndarray]] = [{} for _ in shapes]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the consolidated tasks, in order."""
        return tuple(self._records)

    @property
    def num_planes(self) -> int:
        """The number of planes of the kernel that has most of them."""
        planes = [record.planes for record in self._records.values()]
        return max((len(set(kernel)) for kernel in zip(*planes)), default=0)

    def __contains__(self, task: str) -> bool:
        return task in self._records

    def __getitem__(self, task: str) -> TaskRecord:
        return self._records[task]

    def used_bits(self, kernel: int) -> np.ndarray:
        """Returns the used bits of every slot, over all planes.

        Args:
            kernel: int, the kernel's index.

        Returns:
            uint8 array of the kernel's shape, no entry above 32.
        """
        return self._bits_of_slots()[kernel]

    def _bits_of_slots(self) -> list[np.ndarray]:
        """The used bits of all kernels, counted when they are first needed."""
        if self._used_bits is None:
            used = [np.zeros(shape, np.uint8) for shape in self.shapes]
            for record in self._records.values():
                for index, component in enumerate(record.components):
                    used[index][self._own_slots(record, index)] += (
                        np.uint8(component.width)
                    )
            self._used_bits = used
        return self._used_bits

    def set_base(self, values: list[np.ndarray]) -> None:
        """Stores the frozen weights that all tasks share, exactly and once.

        Args:
            values: list of arrays.
        """
        if self._records:
            raise ValueError("The base of a bank with tasks never changes.")
        self.base = tuple(PrivateCode.encode(v, FULL) for v in values)

    def base_values(self) -> list[np.ndarray]:
        """Returns the frozen weights, in the model's order."""
        return [code.decode() for code in self.base]

    def add(self, record: TaskRecord) -> None:
        """Stores a task, if the budget of its slots allows.

        Args:
            record: `TaskRecord` of a new task.

        Raises:
            BudgetError: If a slot would hold more than 32 bits.
            ValueError: If the name is taken, the kernels are others, or the
                reference is no earlier task. The bank is then as it was.
        """
        if record.name in self._records:
            raise ValueError(f"Task '{record.name}' is in the bank already.")
        self._check_reference(record)
        used, own_slots = [], []
        for index, component in enumerate(record.components):
            own = self._own_slots(record, index)
            if np.count_nonzero(own) != component.own_count:
                raise ValueError(
                    f"Task '{record.name}' has {component.own_count} own slots "
                    f"in kernel '{self.paths[index]}', and its mask holds "
                    f"{own.sum()}: it belongs to another architecture."
                )
            bits = self.used_bits(index).copy()
            bits[own] += component.width
            if bits.max(initial=0) > SLOT_BITS:
                raise BudgetError(
                    f"Kernel '{self.paths[index]}': a slot would hold "
                    f"{bits.max()} bits, and its budget is {SLOT_BITS}. Share "
                    "weights, prune more, or use fewer bits."
                )
            used.append(bits)
            own_slots.append(own)
        self._used_bits = used
        for index, plane in enumerate(record.planes):
            laid = self._planes[index].get(plane)
            if laid and laid.count == self._rank(record, index):
                values = record.components[index].own_values()
                laid.lay(own_slots[index], values)
        self._enter(record)

    def _enter(self, record: TaskRecord) -> None:
        number = len(self._records)
        self._records[record.name] = record
        self._numbers[record.name] = number
        for key in enumerate(record.planes):
            self._members.setdefault(key, []).append(number)

    def _check_reference(self, record: TaskRecord) -> None:
        reference = record.reference
        if reference is None:
            if any(c.needs_reference for c in record.components) or any(
                code.width == SAME for code in record.private
            ):
                raise ValueError(
                    f"Task '{record.name}' is coded by reference to another "
                    "task and does not say which. Give its `reference`."
                )
        elif not 0 <= reference < len(self._records):
            raise ValueError(
                f"The `reference` of task '{record.name}' must be the number "
                f"of an earlier task, below {len(self._records)}. Received: "
                f"{reference}."
            )

    def plane_view(
        self, planes: Sequence[int], before: str | None = None
    ) -> PlaneView:
        """Returns the frozen components of a plane of each kernel.

        Args:
            planes: sequence of int, one a kernel.
            before: str or `None`. Leaves out this task and all after it.

        Returns:
            A `PlaneView`, all free if no task lies on the planes.
        """
        number = len(self._records)
        if before is not None:
            number = self._numbers[before]
        view = PlaneView([], [])
        for kernel, plane in enumerate(planes):
            rank = bisect.bisect_left(
                self._members.get((kernel, plane), ()), number
            )
            if not rank:
                view.owned.append(np.zeros(self.shapes[kernel], bool))
                view.frozen.append(np.zeros(self.shapes[kernel], np.float32))
                continue
            laid = self._plane(kernel, plane, rank)
            owned = laid.owned(rank)
            frozen = laid.frozen.copy()
            if laid.count > rank:
                frozen[~owned] = 0
            view.owned.append(owned)
            view.frozen.append(frozen)
        return view

    def _plane(self, kernel: int, plane: int, count: int) -> Plane:
        """The state of a plane with at least `count` components laid."""
        kept = self._planes[kernel]
        laid = kept.pop(plane, None) or Plane(self.shapes[kernel])
        _keep(kept, plane, laid, KEPT_PLANES)
        while laid.count < count:
            name = self.tasks[self._members[kernel, plane][laid.count]]
            record = self._records[name]
            own = self._own_slots(record, kernel)
            laid.lay(own, record.components[kernel].own_values())
        return laid

    def _rank(self, record: TaskRecord, kernel: int) -> int:
        """How many tasks came before on a task's plane."""
        number = self._numbers.get(record.name, len(self._records))
        members = self._members.get((kernel, record.planes[kernel]), ())
        return bisect.bisect_left(members, number)

    def own_slots(self, task: str, kernel: int) -> np.ndarray:
        """Returns the slots that a task owns in a kernel.

        Args:
            task: str.
            kernel: int, the kernel's index.

        Returns:
            bool array of the kernel's shape.
        """
        return self._own_slots(self._records[task], kernel)

    def _own_slots(self, record: TaskRecord, kernel: int) -> np.ndarray:
        component = record.components[kernel]
        owned = None
        if component.needs_owned:
            rank = self._rank(record, kernel)
            owned = self._plane(kernel, record.planes[kernel], rank).owned(rank)
        reference = self._reference(record, kernel)
        return component.own_slots(self.shapes[kernel], owned, reference)

    def _shared_slots(self, record: TaskRecord, kernel: int) -> np.ndarray:
        component = record.components[kernel]
        if not component.shares:
            return np.zeros(self.shapes[kernel], bool)
        rank = self._rank(record, kernel)
        owned = self._plane(kernel, record.planes[kernel], rank).owned(rank)
        return component.shared_slots(owned, self._reference(record, kernel))

    def _reference(self, record: TaskRecord, kernel: int) -> np.ndarray | None:
        """The slots that a component's masks refer to, if they do."""
        if not record.components[kernel].needs_reference:
            return None
        # A chain of references is followed to one that is known or needs
        # none, and then decoded from there.
        kept = self._references[kernel]
        chain = [record.reference]
        while chain[-1] not in kept:
            last = self._records[self.tasks[chain[-1]]]
            if not last.components[kernel].needs_reference:
                break
            chain.append(last.reference)
        for number in reversed(chain):
            bits = kept.pop(number, None)
            if bits is None:
                referred = self._records[self.tasks[number]]
                bits = np.packbits(self._used_slots(referred, kernel))
            _keep(kept, number, bits, KEPT_REFERENCES)
        shape = self.shapes[kernel]
        flat = np.unpackbits(bits, count=math.prod(shape))
        return flat.view(bool).reshape(shape)

    def _used_slots(self, record: TaskRecord, kernel: int) -> np.ndarray:
        own = self._own_slots(record, kernel)
        if not record.components[kernel].shares:
            return own
        return own | self._shared_slots(record, kernel)

    def masks(self, task: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns the own and the shared slots of a task, for each kernel."""
        record = self._records[task]
        return [
            (self._own_slots(record, index), self._shared_slots(record, index))
            for index in range(len(self.shapes))
        ]

    def used_slots(self, task: str) -> list[np.ndarray]:
        """Returns the slots that a task uses, own and shared.

        That is the `reference` to give to `Component.encode` for a task
        whose record has `reference=bank.tasks.index(task)`.

        Returns:
            list of bool arrays, one a kernel.
        """
        record = self._records[task]
        kernels = range(len(self.shapes))
        return [self._used_slots(record, index) for index in kernels]

    def effective(self, task: str) -> list[np.ndarray]:
        """Returns the kernels that a task computes with.

        Args:
            task: str.

        Returns:
            list of float32 arrays, zeros outside the task's mask.
        """
        record = self._records[task]
        kernels = []
        for index, component in enumerate(record.components):
            kernel = np.zeros(self.shapes[index], np.float32)
            if component.shares:
                shared = self._shared_slots(record, index)
                rank = self._rank(record, index)
                laid = self._plane(index, record.planes[index], rank)
                np.copyto(kernel, laid.frozen, where=shared)
            own = np.flatnonzero(self._own_slots(record, index))
            kernel.reshape(-1)[own] = component.own_values()
            kernels.append(kernel)
        return kernels

    def private(self, task: str) -> list[np.ndarray]:
        """Returns the private variables of a task, in the model's order."""
        return [code.decode() for code in self.private_codes(task)]

    def private_codes(self, task: str) -> tuple[PrivateCode, ...]:
        """Returns the codes of a task's private variables.

        Those that are the same as another task's are that task's codes.
        """
        record = self._records[task]
        return tuple(
            self._private_code(record, index)
            for index in range(len(record.private))
        )

    def _private_code(self, record: TaskRecord, index: int) -> PrivateCode:
        while record.private[index].width == SAME:
            record = self._records[self.tasks[record.reference]]
        return record.private[index]

    def count_bytes(self) -> dict[str, int]:
        """Returns the bytes of `to_bytes()` by kind."""
        records = list(self._records.values())
        return serialization.count_bytes(records, self.base, self.shapes)

    def to_bytes(self) -> bytes:
        """Returns the saved form of the bank."""
        records = list(self._records.values())
        return serialization.to_bytes(records, self.base, self.shapes)

    def load_bytes(self, data: bytes) -> None:
        """Replaces the contents by a saved bank's.

        Args:
            data: bytes, as `to_bytes` made them.

        Raises:
            ValueError: If the data are damaged or belong to a network with
                other kernels; the bank is then as it was.
        """
        fresh = WeightBank(self.shapes, self.paths)
        records, base, shapes = serialization.from_bytes(data)
        if shapes is not None and shapes != self.shapes:
            raise ValueError(
                f"The saved bank has kernels of shapes {shapes} and this model "
                f"{self.shapes}. Load it into the architecture that it was "
                "saved with."
            )
        for record in records:
            if len(record.components) != len(self.shapes):
                raise ValueError(
                    f"The saved bank has {len(record.components)} kernels and "
                    f"this model {len(self.shapes)}. Load it into the "
                    "architecture that it was saved with."
                )
            # Nothing is decoded before it is needed, but to check the shapes.
            fresh.add(record) if shapes is None else fresh._enter(record)
        fresh.base = base
        vars(self).update(vars(fresh))


def _keep(kept: dict, key, value, most: int) -> None:
    """Keeps a value as the one used last, and forgets the oldest of many."""
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]
