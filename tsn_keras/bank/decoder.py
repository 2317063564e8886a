"""Decodes the components that tasks have in a kernel to slots and values."""

import bisect
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tsn_keras.bank.budget import SLOT_BITS
from tsn_keras.bank.records import Component
from tsn_keras.files import DamagedFileError

# How much decoded state is kept for each kernel. A plane takes 6 bytes a slot,
# and a reference one bit.
KEPT_PLANES = 4
KEPT_REFERENCES = 8


class RecentlyUsed:
    """Keeps the values that were used last, up to a total size.

    `size_of` gives the size of a value; without it, values are counted. A
    single value may be larger than the total.
    """

    def __init__(self, most: int, size_of: Callable[[Any], int] | None = None):
        self._most = most
        self._size_of = size_of or (lambda value: 1)
        self._values: dict[Hashable, Any] = {}
        # Counted as values come and go: no lookup may look at all of them.
        self.size = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values

    def get(self, key: Hashable) -> Any:
        """Returns a value, or `None`. It is now the one used last."""
        value = self._values.pop(key, None)
        if value is not None:
            self._values[key] = value
        return value

    def take(self, key: Hashable) -> Any:
        """Returns a value that is not kept any more, or `None`."""
        value = self._values.pop(key, None)
        if value is not None:
            self.size -= self._size_of(value)
        return value

    def put(self, key: Hashable, value: Any) -> None:
        """Keeps a value of a new key, and forgets the oldest of too many."""
        self._values[key] = value
        self.size += self._size_of(value)
        while len(self._values) > 1 and self.size > self._most:
            oldest = self._values.pop(next(iter(self._values)))
            self.size -= self._size_of(oldest)


class Plane:
    """Who owns each slot of a plane of a kernel, and the frozen value there.

    Later tasks change nothing of it, so one state serves every task's view.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.count = 0
        self.frozen = np.zeros(shape, np.float32)
        # 0 for a free slot, else 1 + the number of its owner on the plane.
        self._owner = np.zeros(shape, np.uint16)

    def lay(self, own: np.ndarray, values: np.ndarray) -> None:
        """Adds the own slots of the plane's next task, and their values.

        If that is interrupted, the plane is of no use any more.
        """
        self.count += 1
        slots = np.flatnonzero(own)
        self._owner.reshape(-1)[slots] = self.count
        self.frozen.reshape(-1)[slots] = values

    def owned(self, count: int) -> np.ndarray:
        """Returns the slots that the first `count` tasks of the plane own."""
        # Free slots wrap around to the highest number.
        return self._owner - np.uint16(1) < count


class UsedSlots(NamedTuple):
    """The slots that a task uses in a kernel, own and shared.

    `positions` are their places in flat order.
    """

    positions: np.ndarray
    values: np.ndarray

    @property
    def num_bytes(self) -> int:
        return self.positions.nbytes + self.values.nbytes

    def kernel(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns the float32 kernel, zeros in all other slots."""
        kernel = np.zeros(math.prod(shape), np.float32)
        kernel[self.positions] = self.values
        return kernel.reshape(shape)


class Entry(NamedTuple):
    """One task's component in a kernel, and what its masks depend on.

    `number` and `reference` are the numbers of the task and of its reference.
    `rank` is the number of earlier tasks on the plane.
    """

    component: Component
    number: int
    plane: int
    rank: int
    reference: int | None


class Kept(NamedTuple):
    """What was decoded of a kernel, for tasks that come up again."""

    planes: RecentlyUsed
    references: RecentlyUsed


class KernelDecoder:
    """Decodes what tasks own and share in a kernel, and keeps the latest.

    The tasks of a decoder never change; `followed_by` makes another one.

    Args:
        entries: Of all tasks, in order.
        used_bits: Those of every slot, if they are known.
        kept: What was decoded of these tasks.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        entries: Sequence[Entry] = (),
        used_bits: np.ndarray | None = None,
        kept: Kept | None = None,
    ):
        self.shape = shape
        self._entries = list(entries)
        # The numbers of the tasks on each plane, in order.
        self._members: dict[int, list[int]] = {}
        for entry in entries:
            self._members.setdefault(entry.plane, []).append(entry.number)
        self._kept = kept or Kept(
            RecentlyUsed(KEPT_PLANES), RecentlyUsed(KEPT_REFERENCES)
        )
        self._used_bits = used_bits

    def followed_by(
        self, entry: Entry, used_bits: np.ndarray
    ) -> "KernelDecoder":
        """Returns the decoder with one more task.

        Args:
            entry: As `next_entry` made it.
            used_bits: Those of every slot, with the new task.
        """
        # What was decoded is true of the same tasks there.
        entries = [*self._entries, entry]
        return KernelDecoder(self.shape, entries, used_bits, self._kept)

    @property
    def num_planes(self) -> int:
        return len(self._members)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What all tasks have in the kernel, in order."""
        return tuple(self._entries)

    @property
    def used_bits(self) -> np.ndarray:
        """The used bits of every slot, counted when they are first needed."""
        if self._used_bits is None:
            used = np.zeros(self.shape, np.uint8)
            for entry in self._entries:
                used[self.own_slots(entry)] += np.uint8(entry.component.width)
                if used.max(initial=0) > SLOT_BITS:
                    raise DamagedFileError(
                        f"The weight bank is damaged: a slot of it holds more "
                        f"than {SLOT_BITS} bits. Load another copy of the file."
                    )
            self._used_bits = used
        return self._used_bits

    def next_entry(
        self, component: Component, plane: int, reference: int | None
    ) -> Entry:
        """Returns the entry of the next task, which is not entered yet."""
        rank = len(self._members.get(plane, ()))
        return Entry(component, len(self._entries), plane, rank, reference)

    def keep_laid(self, entry: Entry, own_slots: np.ndarray) -> None:
        """Lays the own slots of the last entry, where its plane is kept."""
        if (laid := self._kept.planes.take(entry.plane)) is not None:
            if laid.count == entry.rank:
                laid.lay(own_slots, entry.component.own_values())
            self._kept.planes.put(entry.plane, laid)

    def plane(self, plane: int, before: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the owned slots of a plane, and their values, zero elsewhere.

        Only tasks with a number below `before` count.
        """
        rank = bisect.bisect_left(self._members.get(plane, ()), before)
        laid = self._laid(plane, rank) if rank else Plane(self.shape)
        owned, frozen = laid.owned(rank), laid.frozen.copy()
        if laid.count > rank:
            frozen[~owned] = 0
        return owned, frozen

    def _laid(self, plane: int, count: int) -> Plane:
        """The state of a plane with at least `count` components laid."""
        laid = self._kept.planes.get(plane)
        if laid is None:
            laid = Plane(self.shape)
        while laid.count < count:
            entry = self._entries[self._members[plane][laid.count]]
            own = self.own_slots(entry), entry.component.own_values()
            # Nothing is kept that may be interrupted half way.
            self._kept.planes.take(plane)
            laid.lay(*own)
            self._kept.planes.put(plane, laid)
        return laid

    def _owned(self, entry: Entry) -> np.ndarray:
        """The slots of earlier tasks of an entry's plane."""
        return self._laid(entry.plane, entry.rank).owned(entry.rank)

    def own_slots(self, entry: Entry) -> np.ndarray:
        """Returns the bool mask of the slots that a task owns.

        The entry need not have been entered, here and below.
        """
        component = entry.component
        owned = self._owned(entry) if component.needs_owned else None
        reference = self._reference(entry)
        own = component.own_slots(self.shape, owned, reference)
        if (found := np.count_nonzero(own)) != component.own_count:
            raise DamagedFileError(
                f"A task has {component.own_count} own slots in a kernel, and "
                f"its mask holds {found}: the weight bank is damaged, or the "
                "task belongs to another architecture."
            )
        return own

    def shared_slots(self, entry: Entry) -> np.ndarray:
        """Returns the bool mask of earlier tasks' slots that a task uses."""
        if not entry.component.shares:
            return np.zeros(self.shape, bool)
        owned, reference = self._owned(entry), self._reference(entry)
        return entry.component.shared_slots(owned, reference)

    def used_mask(self, entry: Entry) -> np.ndarray:
        """Returns the bool mask of all slots that a task uses."""
        return self.own_slots(entry) | self.shared_slots(entry)

    def used_slots(
        self, entry: Entry, own_slots: np.ndarray | None = None
    ) -> UsedSlots:
        """Returns the slots that a task uses, with their values.

        The task's own slots may be given, if they are decoded already.
        """
        if own_slots is None:
            own_slots = self.own_slots(entry)
        positions = np.flatnonzero(own_slots)
        values = entry.component.own_values()
        if entry.component.shares:
            shared = np.flatnonzero(self.shared_slots(entry))
            frozen = self._laid(entry.plane, entry.rank).frozen.reshape(-1)
            positions = np.concatenate([positions, shared])
            values = np.concatenate([values, frozen[shared]])
        kind = np.int32 if positions.max(initial=0) < 2**31 else np.int64
        return UsedSlots(positions.astype(kind), values)

    def _reference(self, entry: Entry) -> np.ndarray | None:
        """The slots that an entry's masks refer to, if they do."""
        if not entry.component.needs_reference:
            return None
        # A chain of references is followed to one that is known or needs
        # none, and then decoded from there.
        chain = [entry.reference]
        while chain[-1] not in self._kept.references:
            if chain[-1] is None:
                raise DamagedFileError(
                    "The weight bank is damaged: a mask is coded by reference "
                    "to another task, and the bank does not say which. Load "
                    "another copy of the file."
                )
            last = self._entries[chain[-1]]
            if not last.component.needs_reference:
                break
            chain.append(last.reference)
        for number in reversed(chain):
            bits = self._kept.references.get(number)
            if bits is None:
                bits = np.packbits(self.used_mask(self._entries[number]))
                self._kept.references.put(number, bits)
        flat = np.unpackbits(bits, count=math.prod(self.shape))
        return flat.view(bool).reshape(self.shape)
