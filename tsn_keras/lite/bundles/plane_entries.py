"""What the tasks of one plane have in a kernel: slots, codes, codebooks.

Some units of a layer have many more weights than others, and some inputs have
none at all. Hence the rows of a kernel as it is stored, one for each unit, may
be taken in two groups, dense and sparse ones, each with gaps of its own; and
columns without any weight may be left out, which takes a graph three operators
on every entry.
"""

import dataclasses
import math

import numpy as np

from tsn_keras.bank import FLOAT_WIDTH, WeightBank
from tsn_keras.lite.bundles.streams import encode_gaps

# A bundle's codes have 16 bits at most.
MAX_VALUES = 2**16
# Thresholds that are tried lie between so many equal parts of the rows.
NUM_PARTS = 16


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """The slots of a kernel, group after group.

    Rows and columns are marked in bool arrays; `used_columns` is `None` if
    none is left out. `entries` are the numbers of the slots in the new order.
    `positions` are the slots' rising positions in two flat matrices: that of
    the dense rows and the used columns, and that of the sparse rows.
    """

    dense_rows: np.ndarray
    used_columns: np.ndarray | None
    entries: np.ndarray
    positions: tuple[np.ndarray, np.ndarray]
    num_columns: int

    @property
    def num_bits(self) -> int:
        marks = self.dense_rows.size
        if self.used_columns is not None:
            marks += self.used_columns.size
        return marks + sum(encode_gaps(p).num_bits for p in self.positions)

    @property
    def num_dense(self) -> int:
        """Number of slots in the first group's matrix."""
        return int(self.dense_rows.sum()) * self.num_columns


def group_rows(
    slots: np.ndarray, shape: tuple[int, int], drop_columns: bool
) -> RowGroups | None:
    """Finds the two groups of rows whose gaps take the fewest bits.

    Slots are rising positions in a flat matrix of a shape. If no two of its
    rows differ in their number of slots, there are no groups. Columns without
    any slot may be left out.
    """
    counts = np.bincount(slots // shape[1], minlength=shape[0])
    parts = np.quantile(counts, np.arange(1, NUM_PARTS) / NUM_PARTS)
    # Rows without any slot are no group: there would be nothing to code.
    least = counts[counts > 0].min(initial=slots.size)
    found = [
        _grouped(slots, shape, counts >= limit, drop_columns)
        for limit in np.unique(np.ceil(parts))
        if least < limit <= counts.max()
    ]
    return min(found, key=lambda groups: groups.num_bits, default=None)


def _grouped(slots, shape, dense_rows, drop_columns) -> RowGroups:
    rows, columns = np.divmod(slots, shape[1])
    used_columns, num_columns = None, shape[1]
    if drop_columns:
        used_columns = np.bincount(columns, minlength=shape[1]) > 0
        num_columns = int(used_columns.sum())
        columns = (np.cumsum(used_columns) - 1)[columns]
    entries, positions = [], []
    for members in (dense_rows, ~dense_rows):
        chosen = members[rows]
        row = (np.cumsum(members) - 1)[rows[chosen]]
        positions.append(row * num_columns + columns[chosen])
        entries.append(np.flatnonzero(chosen))
    entries, positions = np.concatenate(entries), tuple(positions)
    return RowGroups(dense_rows, used_columns, entries, positions, num_columns)


class PlaneEntries:
    """The entries of one plane of one kernel, task after task.

    Members are the tasks of the bundle on this plane. Positions rise, one
    owner's slots behind another's; `codebook` has `stride` values an owner.
    """

    def __init__(
        self, bank: WeightBank, index: int, order: tuple, members: list[str]
    ):
        self.members = members
        owners = _owners(bank, index, members)
        size = math.prod(bank.shapes[index])
        flat = np.arange(size).reshape(bank.shapes[index])
        self._stored = flat.transpose(order).reshape(-1)
        self._masks = {
            task: [m.reshape(-1)[self._stored] for m in bank.masks(task)[index]]
            for task in members
        }
        parts = [self._own_entries(bank, index, owner) for owner in owners]
        slots, codes, books = zip(*parts)
        counts = [part.size for part in slots]
        self._owner_of = np.repeat(np.arange(len(owners)), counts)
        self._slots = np.concatenate(slots)
        # Of each member, its place among the owners.
        self._places = {t: owners.index(bank.number(t)) for t in members}
        self.positions = self._owner_of * size + self._slots
        rows = bank.shapes[index][order[0]]
        self._matrix = (rows, size // rows)
        self.codes = np.concatenate(codes)
        self.stride = max(1, *(book.size for book in books))
        padded = [np.pad(book, (0, self.stride - book.size)) for book in books]
        self.codebook = np.concatenate(padded).astype(np.float32)

    def row_groups(self, drop_columns: bool) -> RowGroups | None:
        """Returns the slots in two groups of rows; `None` if not possible."""
        # With several owners, slots do not rise all the way.
        if self.shares:
            return None
        return group_rows(self._slots, self._matrix, drop_columns)

    @property
    def code_width(self) -> int:
        """The bits of a code, enough for the largest codebook."""
        return max(1, int(self.stride - 1).bit_length())

    def _own_entries(self, bank, index, owner) -> tuple:
        """Returns slots, codes and codebook: what members use of a task's."""
        component = bank.records[owner].components[index]
        book, codes = _codebook_and_codes(component)
        own = bank.own_slots(owner, index).reshape(-1)
        code_of = np.zeros(own.size, np.int64)
        code_of[own] = codes
        used = np.zeros(own.size, bool)
        for mask, shared in self._masks.values():
            used |= mask | shared
        slots = np.flatnonzero(own[self._stored] & used)
        if not slots.size:
            # A list must not be empty. A zero added to a slot does no harm.
            nothing = np.zeros(1, np.int64)
            return nothing, nothing, np.zeros(1, np.float32)
        return slots, code_of[self._stored][slots], book

    @property
    def shares(self) -> bool:
        """Whether any task may use entries of another."""
        return int(self._owner_of.max()) > 0

    def count(self, task: str) -> int:
        """Returns the number of entries up to the last of a task's own."""
        return int((self._owner_of <= self._places[task]).sum())

    def shared_bits(self, task: str) -> np.ndarray:
        """Returns a bit for each entry of earlier tasks: whether it is used."""
        earlier = self._slots[self._owner_of < self._places[task]]
        _, shared = self._masks[task]
        return shared[earlier].astype(np.uint8)


def _owners(bank: WeightBank, index: int, members: list[str]) -> list[int]:
    """Returns the records of a kernel's plane up to its last member.

    What is left of removed tasks is among them.
    """
    plane = bank[members[0]].planes[index]
    last = max(map(bank.number, members))
    return [
        number
        for number, record in enumerate(bank.records[: last + 1])
        if record.planes[index] == plane
    ]


def _codebook_and_codes(component) -> tuple[np.ndarray, np.ndarray]:
    if component.width == FLOAT_WIDTH:
        values = component.own_values()
        book, codes = np.unique(values, return_inverse=True)
        if book.size > MAX_VALUES:
            raise ValueError(
                f"A task has {book.size} different float32 weights in a "
                f"kernel, and a bundle takes {MAX_VALUES}. Train it with "
                "`quantization=`, or export it with `export_task`."
            )
        return book, codes.reshape(-1)
    return component.codebook, component.own_codes()
