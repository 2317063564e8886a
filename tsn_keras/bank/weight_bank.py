"""The store of all consolidated tasks."""

import collections
import dataclasses
import functools
import operator
import threading
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tsn_keras.bank import file_format
from tsn_keras.bank.budget import SLOT_BITS, BudgetError
from tsn_keras.bank.decoder import Entry, KernelDecoder, RecentlyUsed
from tsn_keras.bank.records import FLOAT_WIDTH, PrivateCode, TaskRecord
from tsn_keras.bank.removal import without_task

# Used slots of the tasks that were put to work last, in all kernels.
KEPT_SLOTS_BYTES = 64 * 2**20


@dataclasses.dataclass
class PlaneView:
    """What a task sees of the plane it joins, one array a kernel.

    Args:
        owned: bool arrays, the slots that earlier tasks own.
        frozen: float32 arrays, their values; zeros elsewhere.
    """

    owned: list[np.ndarray]
    frozen: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class KernelUsage:
    """What one task uses of one kernel.

    Args:
        path: The kernel's name.
        plane: The plane that the task lies on there.
        width: Bits of a code.
        own: bool array of the kernel's shape, the own slots.
        shared: The same for the shared slots.
    """

    path: str
    plane: int
    width: int
    own: np.ndarray
    shared: np.ndarray

    @property
    def num_own(self) -> int:
        """How many slots the task owns."""
        return int(self.own.sum())

    @property
    def num_shared(self) -> int:
        """How many slots the task reads from earlier tasks."""
        return int(self.shared.sum())

    @property
    def sparsity(self) -> float:
        """The fraction of slots outside the mask."""
        return 1.0 - (self.num_own + self.num_shared) / self.own.size

    @property
    def dead_units(self) -> float:
        """The fraction of units without an incoming weight."""
        used = (self.own | self.shared).reshape(-1, self.own.shape[-1])
        return 1.0 - used.any(axis=0).mean()


@dataclasses.dataclass(frozen=True)
class _Contents:
    """What a bank holds. A bank changes by taking over other contents.

    So an error or an interrupt in the middle of a change changes nothing.

    Args:
        base: The frozen weights that all tasks share.
        records: Of all tasks, and of what others share of removed ones.
        tasks: The numbers of tasks among the records, by name.
        entries: What each record has in each kernel.
        kernels: One decoder a kernel.
        used_slots: Of the tasks that were put to work last.
    """

    base: tuple[PrivateCode, ...]
    records: tuple[TaskRecord, ...]
    tasks: dict[str, int]
    entries: tuple[list[Entry], ...]
    kernels: list[KernelDecoder]
    used_slots: RecentlyUsed

    @classmethod
    def of(
        cls,
        shapes: list[tuple[int, ...]],
        records: Iterable[TaskRecord],
        base: Iterable[PrivateCode],
    ) -> "_Contents":
        """Returns contents of which nothing is decoded yet."""
        records = tuple(records)
        counts = [collections.Counter() for _ in shapes]
        entries = tuple([] for _ in records)
        for number, record in enumerate(records):
            for component, plane, count in zip(
                record.components, record.planes, counts, strict=True
            ):
                where = number, plane, count[plane], record.reference
                entries[number].append(Entry(component, *where))
                count[plane] += 1
        columns = list(zip(*entries)) or [()] * len(shapes)
        used_slots = RecentlyUsed(
            KEPT_SLOTS_BYTES, lambda used: sum(s.num_bytes for s in used)
        )
        kernels = [KernelDecoder(*pair) for pair in zip(shapes, columns)]
        tasks = {r.name: n for n, r in enumerate(records) if r.is_task}
        return cls(tuple(base), records, tasks, entries, kernels, used_slots)


def _number(contents: _Contents, task: str) -> int:
    if not isinstance(task, str) or task not in contents.tasks:
        raise KeyError(
            f"Unknown task {task!r}. The bank holds: {list(contents.tasks)}"
        )
    return contents.tasks[task]


def _alone(method: Callable) -> Callable:
    """Lets one thread at a time decode: what was decoded is kept for later."""

    @functools.wraps(method)
    def locked(self, *args, **kwargs):
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class WeightBank:
    """Holds what every consolidated task stores, and never changes it.

    A task can be removed as a whole. Any number of threads may read a bank,
    also while a task is added or removed.

    Args:
        shapes: The kernels' shapes.
        paths: The kernels' names for messages.
        records: Those of another bank, or others that were checked before.
        base: The frozen weights that all tasks share.

    Example:

    >>> bank = WeightBank([(3, 4)], ["dense/kernel"])
    >>> bank.tasks, bank.used_bits(0).max()
    ((), np.uint8(0))
    """

    def __init__(
        self,
        shapes: list[tuple[int, ...]],
        paths: list[str],
        records: Iterable[TaskRecord] = (),
        base: Iterable[PrivateCode] = (),
    ):
        self.lock = threading.RLock()
        self.shapes = list(shapes)
        self.paths = list(paths)
        if len(self.shapes) != len(self.paths):
            raise ValueError(
                "`shapes` and `paths` must have one entry for each kernel. "
                f"Received: {len(self.shapes)} shapes, {len(self.paths)} paths"
            )
        self._contents = _Contents.of(self.shapes, records, base)
        # Records, and the metadata that are saved with them.
        self._written: tuple[tuple[TaskRecord, ...], bytes] | None = None

    def __reduce__(self):
        parts = self.shapes, self.paths, list(self.records), self.base
        return WeightBank, parts

    # Those who only look up a record need no lock.

    @property
    def base(self) -> tuple[PrivateCode, ...]:
        """The frozen weights that all tasks share."""
        return self._contents.base

    @property
    def records(self) -> tuple[TaskRecord, ...]:
        """All that is stored, in order.

        That are the tasks, and the slots of removed tasks that others share.
        """
        return self._contents.records

    @property
    def _kernels(self) -> list[KernelDecoder]:
        return self._contents.kernels

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the consolidated tasks, in order."""
        return tuple(self._contents.tasks)

    @property
    def num_planes(self) -> int:
        """The number of planes of the kernel that has most of them."""
        return max((kernel.num_planes for kernel in self._kernels), default=0)

    def __contains__(self, task: str) -> bool:
        return task in self._contents.tasks

    def __getitem__(self, task: str) -> TaskRecord:
        # Another bank may be loaded meanwhile.
        contents = self._contents
        return contents.records[_number(contents, task)]

    def number(self, task: str) -> int:
        """Returns the number of a task among all records, from 0.

        It is the `reference` of another one that is coded by the task.
        """
        return _number(self._contents, task)

    @_alone
    def used_bits(self, kernel: int) -> np.ndarray:
        """Returns the used bits of every slot of a kernel, as `uint8`."""
        return self._kernel(kernel).used_bits

    def _kernel(self, number: int) -> KernelDecoder:
        if number not in range(len(self._kernels)):
            raise IndexError(
                f"The bank has {len(self._kernels)} kernels. Received: "
                f"kernel={number!r}"
            )
        return self._kernels[number]

    @_alone
    def set_base(self, values: list[np.ndarray]) -> None:
        """Stores the frozen weights that all tasks share, exactly and once."""
        if self.records:
            raise ValueError("The base of a bank with tasks never changes.")
        base = [PrivateCode.encode(v, FLOAT_WIDTH) for v in values]
        self._written = None
        self._contents = _Contents.of(self.shapes, (), base)

    def base_values(self) -> list[np.ndarray]:
        """Returns the frozen weights, in the model's order."""
        return [code.decode() for code in self.base]

    @_alone
    def add(self, record: TaskRecord) -> None:
        """Stores a new task, if the budget of its slots allows.

        Raises:
            BudgetError: If a slot would hold more than 32 bits.
            ValueError: If the name is taken, the kernels are others, or the
                reference is no earlier task. The bank is then as it was.
        """
        if not isinstance(record, TaskRecord):
            raise TypeError(
                f"`record` must be a TaskRecord. Received: {record!r}"
            )
        if record.is_task and record.name in self:
            raise ValueError(f"Task '{record.name}' is in the bank already.")
        self._check_reference(record)
        before = self._contents
        entries = [
            kernel.next_entry(component, plane, record.reference)
            for kernel, component, plane in zip(
                before.kernels, record.components, record.planes, strict=True
            )
        ]
        decoded = [
            self._decode_new(index, entry)
            for index, entry in enumerate(entries)
        ]
        parts = list(zip(before.kernels, entries, decoded))
        used = [k.used_slots(entry, own) for k, entry, (own, _) in parts]
        number = len(before.records)
        name = {record.name: number} if record.is_task else {}
        after = dataclasses.replace(
            before,
            records=(*before.records, record),
            tasks={**before.tasks, **name},
            entries=(*before.entries, entries),
            kernels=[
                k.followed_by(entry, bits) for k, entry, (_, bits) in parts
            ],
        )
        # Here, so that saving takes no longer with more tasks.
        written = self._write(after.records)
        # Up to here nothing of the bank has changed, and this is one step.
        self._contents = after
        self._written = written
        # It need not be decoded again.
        if record.is_task:
            after.used_slots.put(record.name, used)
        for kernel, entry, (own, _) in parts:
            kernel.keep_laid(entry, own)

    def _decode_new(
        self, index: int, entry: Entry
    ) -> tuple[np.ndarray, np.ndarray]:
        """The own slots of a new entry, and the used bits with it, checked."""
        kernel, path = self._kernels[index], self.paths[index]
        own = kernel.own_slots(entry)
        bits = kernel.used_bits.copy()
        bits[own] += entry.component.width
        if bits.max(initial=0) > SLOT_BITS:
            raise BudgetError(
                f"Kernel '{path}': a slot would hold {bits.max()} bits, and "
                f"its budget is {SLOT_BITS}. Share weights, prune more, or use "
                "fewer bits."
            )
        return own, bits

    def _check_reference(self, record: TaskRecord) -> None:
        reference = record.reference
        if reference is None:
            if any(c.needs_reference for c in record.components):
                raise ValueError(
                    f"Task '{record.name}' is coded by reference to another "
                    "task and does not say which. Give its `reference`."
                )
        elif not 0 <= reference < len(self.records):
            raise ValueError(
                f"The `reference` of task '{record.name}' must be the number "
                f"of an earlier task, below {len(self.records)}. Received: "
                f"{reference}."
            )

    @_alone
    def set_inference(
        self, task: str, codes: Iterable[PrivateCode], facts: dict[str, str]
    ) -> None:
        """Stores what tells a task apart from others, in place of any before.

        Args:
            facts: They become facts of the task.
        """
        before = self._contents
        number, records = _number(before, task), list(before.records)
        record = records[number]
        records[number] = dataclasses.replace(
            record, inference=tuple(codes), facts={**record.facts, **facts}
        )
        after = dataclasses.replace(before, records=tuple(records))
        written = self._write(after.records)
        self._contents = after
        self._written = written

    @_alone
    def remove(self, task: str) -> None:
        """Removes a task; all others keep every bit.

        Slots that other tasks share stay, without the task's name and with
        those of its centroids that they read. All other bits are free again.
        Masks of later tasks are coded anew. If that is interrupted, the bank
        is as it was.

        Raises:
            KeyError: If there is no such task.
        """
        before = self._contents
        number = _number(before, task)
        records = without_task(before.records, before.kernels, number)
        after = _Contents.of(self.shapes, records, before.base)
        written = self._write(after.records)
        self._contents = after
        self._written = written

    @_alone
    def plane_view(
        self, planes: Sequence[int], before: str | None = None
    ) -> PlaneView:
        """Returns the frozen components of one plane of each kernel.

        Args:
            planes: One a kernel.
            before: A task to leave out, with all after it.
        """
        end = len(self.records)
        if before is not None:
            end = self.number(before)
        pairs = zip(self._kernels, planes)
        parts = [kernel.plane(plane, end) for kernel, plane in pairs]
        return PlaneView(*map(list, zip(*parts)))

    @_alone
    def own_slots(self, task: str | int, kernel: int) -> np.ndarray:
        """Returns the bool mask of the slots that a task owns in a kernel.

        Args:
            task: A name, or the number of a record.
        """
        number = task if isinstance(task, int) else self.number(task)
        entries = self._contents.entries[number]
        return self._kernel(kernel).own_slots(entries[kernel])

    @_alone
    def masks(self, task: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns the own and the shared slots of a task, for each kernel."""
        return [
            (kernel.own_slots(entry), kernel.shared_slots(entry))
            for kernel, entry in self._in_kernels(task)
        ]

    @_alone
    def usage(self, task: str) -> list[KernelUsage]:
        """Returns what a task uses of each kernel."""
        record = self[task]
        return [
            KernelUsage(path, plane, component.width, *masks)
            for path, plane, component, masks in zip(
                self.paths, record.planes, record.components, self.masks(task)
            )
        ]

    @_alone
    def used_slots(self, task: str) -> list[np.ndarray]:
        """Returns the bool masks of the slots that a task uses, one a kernel.

        Each one is the `reference` to give to `Component.encode` for a task
        whose record has `reference=bank.number(task)`.
        """
        entries = self._in_kernels(task)
        return [kernel.used_mask(entry) for kernel, entry in entries]

    @_alone
    def effective(self, task: str) -> list[np.ndarray]:
        """Returns the kernels that a task computes with, zero elsewhere."""
        kept = self._contents.used_slots
        used = kept.get(task)
        if used is None:
            entries = self._in_kernels(task)
            used = [kernel.used_slots(entry) for kernel, entry in entries]
            kept.put(task, used)
        return [slots.kernel(shape) for slots, shape in zip(used, self.shapes)]

    def _in_kernels(self, task: str) -> Iterable[tuple[KernelDecoder, Entry]]:
        """The decoder of each kernel, and what a task has there."""
        return zip(self._kernels, self._contents.entries[self.number(task)])

    def private(self, task: str) -> list[np.ndarray]:
        """Returns the private variables of a task, in the model's order."""
        return [code.decode() for code in self[task].private]

    @_alone
    def count_bytes(self) -> dict[str, int]:
        """Returns the bytes of `to_bytes()` by kind."""
        records, metadata = self._as_written()
        return file_format.count_bytes(records, self.base, metadata)

    @_alone
    def to_bytes(self) -> bytes:
        """Returns the saved form of the bank."""
        records, metadata = self._as_written()
        return file_format.to_bytes(records, self.base, self.shapes, metadata)

    def _write(
        self, records: tuple[TaskRecord, ...]
    ) -> tuple[tuple[TaskRecord, ...], bytes]:
        """Returns records, and the metadata that are saved with them."""
        return records, file_format.write_metadata(
            records, self.base, self.shapes
        )

    def _as_written(self) -> tuple[tuple[TaskRecord, ...], bytes]:
        records, written = self.records, self._written
        # Another thread may have added a task, or noted fewer.
        is_known = written is not None and len(written[0]) == len(records)
        if not is_known or not all(map(operator.is_, written[0], records)):
            written = self._written = self._write(records)
        return written

    def load_bytes(
        self, data: bytes, check: Callable[["WeightBank"], None] | None = None
    ) -> None:
        """Replaces the contents by a saved bank's, as `to_bytes` made it.

        Args:
            check: Raises if the bank that was read must not replace this one.

        Raises:
            DamagedFileError: If the data are damaged or say what no bank can.
            ValueError: If they belong to a network with other kernels; the
                bank is then as it was.
        """
        records, base, shapes = file_format.from_bytes(data)
        if shapes != self.shapes:
            raise ValueError(
                f"The saved bank has kernels of shapes {shapes} and this model "
                f"{self.shapes}. Load it into the architecture that it was "
                "saved with."
            )
        if check is not None:
            check(WeightBank(self.shapes, self.paths, records, base))
        with self.lock:
            self._contents = _Contents.of(self.shapes, records, base)
            self._written = None
