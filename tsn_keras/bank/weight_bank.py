"""The store of all consolidated tasks."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from tsn_keras.bank import serialization
from tsn_keras.bank.budget import SLOT_BITS, BudgetError
from tsn_keras.bank.decoder import Decoder
from tsn_keras.bank.private_code import FULL, PrivateCode
from tsn_keras.bank.task_record import TaskRecord


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
        self._decoder = Decoder(self.shapes)
        self._used_bits: list[np.ndarray] | None = None

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
                    own = self._decoder.own_slots(record, index)
                    used[index][own] += np.uint8(component.width)
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
            own = self._decoder.own_slots(record, index)
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
        self._enter(record, own_slots)

    def _enter(
        self, record: TaskRecord, own_slots: list[np.ndarray] | None = None
    ) -> None:
        self._decoder.enter(record, own_slots)
        self._records[record.name] = record

    def _check_reference(self, record: TaskRecord) -> None:
        reference = record.reference
        if reference is None:
            if any(c.needs_reference for c in record.components):
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
            number = self._decoder.numbers[before]
        parts = [
            self._decoder.plane(kernel, plane, number)
            for kernel, plane in enumerate(planes)
        ]
        owned, frozen = zip(*parts)
        return PlaneView(list(owned), list(frozen))

    def own_slots(self, task: str, kernel: int) -> np.ndarray:
        """Returns the slots that a task owns in a kernel.

        Args:
            task: str.
            kernel: int, the kernel's index.

        Returns:
            bool array of the kernel's shape.
        """
        return self._decoder.own_slots(self._records[task], kernel)

    def masks(self, task: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns the own and the shared slots of a task, for each kernel."""
        record, decoder = self._records[task], self._decoder
        return [
            (
                decoder.own_slots(record, index),
                decoder.shared_slots(record, index),
            )
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
        return [self._decoder.used_slots(record, index) for index in kernels]

    def effective(self, task: str) -> list[np.ndarray]:
        """Returns the kernels that a task computes with.

        Args:
            task: str.

        Returns:
            list of float32 arrays, zeros outside the task's mask.
        """
        return self._decoder.effective(self._decoder.numbers[task])

    def private(self, task: str) -> list[np.ndarray]:
        """Returns the private variables of a task, in the model's order."""
        return [code.decode() for code in self._records[task].private]

    def count_bytes(self) -> dict[str, int]:
        """Returns the bytes of `to_bytes()` by kind."""
        records = list(self._records.values())
        return serialization.count_bytes(records, self.base, self.shapes)

    def to_bytes(self) -> bytes:
        """Returns the saved form of the bank."""
        records = list(self._records.values())
        return serialization.to_bytes(records, self.base, self.shapes)

    def load_bytes(
        self, data: bytes, check: Callable[["WeightBank"], None] | None = None
    ) -> None:
        """Replaces the contents by a saved bank's.

        Args:
            data: bytes, as `to_bytes` made them.
            check: function of the bank that was read, or `None`. Raises if it
                is not to replace this one.

        Raises:
            ValueError: If the data are damaged or belong to a network with
                other kernels; the bank is then as it was.
        """
        fresh = WeightBank(self.shapes, self.paths)
        records, base, shapes = serialization.from_bytes(data)
        if shapes != self.shapes:
            raise ValueError(
                f"The saved bank has kernels of shapes {shapes} and this model "
                f"{self.shapes}. Load it into the architecture that it was "
                "saved with."
            )
        for record in records:
            # Nothing is decoded before it is needed.
            fresh._enter(record)
        fresh.base = base
        if check is not None:
            check(fresh)
        vars(self).update(vars(fresh))
