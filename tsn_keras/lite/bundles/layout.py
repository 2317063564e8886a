"""What a bundle stores of its tasks: an array of bytes and tables of places.

All tasks of a plane share one list of entries for each kernel, in the order
of the tasks that own them. A task uses the entries up to its own last one:
all of its own, and those of earlier tasks for which it has a bit.
"""

import dataclasses

import numpy as np

from tsn_keras.bank import WeightBank
from tsn_keras.lite.bundles.plane_entries import PlaneEntries, RowGroups
from tsn_keras.lite.bundles.private_variables import PrivateLayout
from tsn_keras.lite.bundles.streams import (
    DIGIT_WIDTHS,
    ByteStore,
    Digit,
    GapCode,
    TaskTable,
    common_digits,
    encode_gaps,
    store_codes,
)

# The part by which a stream may grow so that a code is one digit, which halves
# the operators on every entry.
LOW_GROWTH = 0.1
CODE_GROWTH = 0.2
# Groups of rows take more operators, and so does leaving out columns. Each must
# save at least this part.
GROUP_GAIN = 0.05

# Fields that say where something is, how much, or how it is decoded.
HIDDEN = ("_place", "_count", "_table")


@dataclasses.dataclass
class Block:
    """How the tasks' parts of one kernel are stored.

    The shape is that of the kernel as it is stored, and digits are by stream of
    codes. Three fields are in the table only where they are needed: `own_count`
    if any task uses entries of another, `num_dense` if entries are in two
    groups of rows, and `num_columns` if columns without entries are left out.
    """

    shape: tuple[int, ...]
    table: TaskTable
    digits: dict[str, tuple[Digit, ...]]


class Layout:
    """Packs tasks of a bank, each kernel in one of `orders` of axes."""

    def __init__(self, bank: WeightBank, tasks: list[str], orders: list):
        self.bank = bank
        self.tasks = tasks
        self.store = ByteStore()
        self.kernels = [self._kernel_block(*item) for item in enumerate(orders)]
        private = [list(bank[task].private) for task in tasks]
        self.private = PrivateLayout(private, self.store)

    def _kernel_block(self, index: int, order: tuple[int, ...]) -> Block:
        plane_of = {t: self.bank[t].planes[index] for t in self.tasks}
        found = []
        for plane in dict.fromkeys(plane_of.values()):
            members = [t for t in self.tasks if plane_of[t] == plane]
            found.append(PlaneEntries(self.bank, index, order, members))
        planes = _streams(found)
        shares = any(entries.shares for entries in found)
        digits = {
            name: common_digits(plane.widths[name] for plane in planes)
            for name in planes[0].widths
        }
        rows = {
            task: self._row(plane, task, digits, shares)
            for plane in planes
            for task in plane.entries.members
        }
        shape = tuple(self.bank.shapes[index][axis] for axis in order)
        table = TaskTable([rows[task] for task in self.tasks], HIDDEN)
        return Block(shape, table, digits)

    def _row(self, plane: "_Streams", task: str, digits: dict, shares: bool):
        """Stores a task's part of a plane; returns its row of the table."""
        entries = plane.entries
        count = entries.count(task)
        row = self._value_fields(plane, count, digits["codes"])
        for name, code in plane.gaps.items():
            first = min(count, code.low.size)
            row |= self._gap_fields(name, code, first, digits[f"{name}low"])
        if plane.groups is not None:
            row |= self._group_fields(plane.groups)
        if shares:
            row |= self._shared_fields(entries, task)
        return row

    def _shared_fields(self, entries: PlaneEntries, task: str) -> dict:
        """Stores which entries of earlier tasks a task uses."""
        bits = entries.shared_bits(task)
        shared = np.packbits(bits, bitorder="little")
        return {
            "shared_place": self.store.append(shared),
            "shared_bytes": shared.size,
            "shared_count": bits.size,
            "own_count": entries.count(task) - bits.size,
        }

    def _group_fields(self, groups: RowGroups) -> dict:
        """Stores which rows are dense and which columns are used."""
        rows = np.packbits(groups.dense_rows, bitorder="little")
        fields = {"rows_place": self.store.append(rows)}
        fields["num_dense"] = groups.num_dense
        if groups.used_columns is not None:
            columns = np.packbits(groups.used_columns, bitorder="little")
            fields["columns_place"] = self.store.append(columns)
            fields["num_columns"] = groups.num_columns
        return fields

    def _gap_fields(
        self, prefix: str, gaps: GapCode, count: int, digits: tuple
    ) -> dict:
        """Stores gaps; returns the fields for the first `count` of them."""
        low = store_codes(
            self.store, f"{prefix}low", gaps.low, gaps.width, count, digits
        )
        return {
            **low,
            f"{prefix}step": gaps.step,
            f"{prefix}high_place": self.store.append(gaps.high),
            f"{prefix}high_bytes": -(-int(gaps.ends[count - 1]) // 8),
        }

    def _value_fields(self, plane: "_Streams", count: int, digits: tuple):
        """Stores codes and codebooks."""
        entries, width = plane.entries, plane.widths["codes"]
        codes, codebook = entries.codes, entries.codebook
        if plane.groups is not None:
            codes = codes[plane.groups.entries]
        if len(digits) == 1:
            # All codes are looked up in it at once, even those nobody has.
            # The books of several owners are looked up one by one.
            missing = max(0, 2**width - codebook.size)
            codebook = np.pad(codebook, (0, missing))
        return {
            **store_codes(self.store, "codes", codes, width, count, digits),
            "codebook_place": self.store.append(codebook.tobytes()),
            "codebook_bytes": codebook.nbytes,
            "stride": entries.stride,
        }


@dataclasses.dataclass
class _Streams:
    """How the entries of one plane of a kernel are coded.

    Gaps are by group of rows, and widths, in bits, by stream of codes.
    """

    entries: PlaneEntries
    groups: RowGroups | None
    gaps: dict[str, GapCode]
    widths: dict[str, int]


def _streams(planes: list[PlaneEntries]) -> list[_Streams]:
    """Chooses how all planes of a kernel are coded.

    A graph decodes all of them with the same operators.
    """
    groups = _row_groups(planes)
    if groups[0] is None:
        positions = {"": [plane.positions for plane in planes]}
    else:
        parts = zip(*(group.positions for group in groups))
        positions = dict(zip(("dense_", "sparse_"), parts))
    gaps = {name: _gap_codes(found) for name, found in positions.items()}
    found = []
    for index, width in enumerate(_code_widths(planes)):
        own_gaps = {name: codes[index] for name, codes in gaps.items()}
        widths = {f"{name}low": code.width for name, code in own_gaps.items()}
        widths["codes"] = width
        found.append(_Streams(planes[index], groups[index], own_gaps, widths))
    return found


def _row_groups(planes: list[PlaneEntries]) -> list[RowGroups | None]:
    """Returns the groups of rows of every plane, `None` if they save little.

    What takes more operators must save enough on all planes together.
    """
    chosen: list[RowGroups | None] = [None] * len(planes)
    taken = sum(encode_gaps(plane.positions).num_bits for plane in planes)
    for drop_columns in (False, True):
        groups = [plane.row_groups(drop_columns) for plane in planes]
        if None in groups:
            continue
        bits = sum(group.num_bits for group in groups)
        if bits <= (1 - GROUP_GAIN) * taken:
            chosen, taken = groups, bits
    return chosen


def _gap_codes(positions: list[np.ndarray]) -> list[GapCode]:
    """Returns the coded gaps of all planes of a kernel."""
    exact = [encode_gaps(plane) for plane in positions]
    one_digit = [encode_gaps(plane, DIGIT_WIDTHS) for plane in positions]
    taken = sum(code.num_bits for code in one_digit)
    best = sum(code.num_bits for code in exact)
    return one_digit if taken <= (1 + LOW_GROWTH) * best else exact


def _code_widths(planes: list[PlaneEntries]) -> list[int]:
    """Returns the stored bits of a code, for all planes of a kernel."""
    exact = [plane.code_width for plane in planes]
    if max(exact) > max(DIGIT_WIDTHS):
        return exact
    one_digit = [min(d for d in DIGIT_WIDTHS if d >= w) for w in exact]
    counts = [plane.codes.size for plane in planes]
    taken, best = np.dot(counts, one_digit), np.dot(counts, exact)
    return one_digit if taken <= (1 + CODE_GROWTH) * best else exact


def packed_bytes(bank: WeightBank, tasks: list[str]) -> int:
    """Returns what tasks take in the bank: masks, codes, private variables."""
    total = 0
    for record in (bank[task] for task in tasks):
        for part in record.components:
            total += len(part.own_mask) + len(part.shared_mask)
            total += len(part.codes) + part.codebook.nbytes
        total += sum(len(code.data) for code in record.private)
    return total
