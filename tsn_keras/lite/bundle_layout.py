"""What a bundle stores of its tasks: one array of bytes, and where is what.

All tasks of a plane share one list of entries for each kernel, in the order
of the tasks that own them. A task uses the entries up to its own last one:
all of its own, and those of earlier tasks for which it has a bit.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from tsn_keras.bank import WeightBank
from tsn_keras.lite.byte_store import (
    CODE_TABLES,
    TABLE_PLACES,
    TABLE_WIDTHS,
    ByteStore,
    code_bytes,
)
from tsn_keras.lite.gap_code import GapCode, encode_gaps
from tsn_keras.lite.plane_entries import PlaneEntries
from tsn_keras.lite.private_layout import PrivateLayout
from tsn_keras.lite.row_groups import RowGroups
from tsn_keras.lite.task_table import TaskTable

# The part by which a stream may grow so that tables can decode it.
LOW_GROWTH = 0.1
CODE_GROWTH = 0.2
# Groups of rows take more operators, and so do columns that are left out: worth
# this part each, or more.
GROUP_GAIN = 0.05

# Lower bits of gaps without and with tables.
GAP_WIDTHS = (range(1, 17), TABLE_WIDTHS)

# Fields that say where something is, how much, or how it is decoded.
KEPT = ("_place", "_count", "_table")


@dataclasses.dataclass
class Block:
    """How the tasks' parts of one kernel are stored.

    Args:
        shape: tuple of int, the kernel's shape as it is stored.
        table: `TaskTable`, the places and counts of bytes.
        shares: bool, whether any task uses entries of another.
        grouped: bool, whether entries are in two groups of rows.
        drops_columns: bool, whether columns without entries are left out.
    """

    shape: tuple[int, ...]
    table: TaskTable
    shares: bool
    grouped: bool
    drops_columns: bool


class Layout:
    """Packs the tasks of a bank.

    Args:
        bank: `WeightBank`.
        tasks: list of str, the tasks of the bundle.
        orders: list of tuples of int, for each kernel the order of axes that
            it is stored in.
    """

    def __init__(self, bank: WeightBank, tasks: list[str], orders: list):
        self.bank = bank
        self.tasks = tasks
        self.store = ByteStore()
        self.kernels = [
            self._kernel_block(index, order)
            for index, order in enumerate(orders)
        ]
        private = [list(bank.private_codes(task)) for task in tasks]
        self.private = PrivateLayout(private, self.store)

    def _kernel_block(self, index: int, order: tuple[int, ...]) -> Block:
        planes = {t: self.bank[t].planes[index] for t in self.tasks}
        found = []
        for plane in dict.fromkeys(planes.values()):
            members = [t for t in self.tasks if planes[t] == plane]
            found.append(PlaneEntries(self.bank, index, order, members))
        groups = _row_groups(found)
        grouped = groups[0] is not None
        shares = any(entries.shares for entries in found)
        streams = _position_streams(found, groups)
        tabled = {name: _gaps_tabled(p) for name, p in streams.items()}
        tabled["codes"] = _codes_tabled(found)
        rows: dict[str, dict] = {}
        for number, (entries, group) in enumerate(zip(found, groups)):
            gaps = {
                name: encode_gaps(positions[number], GAP_WIDTHS[tabled[name]])
                for name, positions in streams.items()
            }
            for task in entries.members:
                rows[task] = self._row(entries, group, task, gaps, tabled)
                if grouped:
                    rows[task] |= self._group_fields(group)
                if shares:
                    rows[task] |= self._shared_fields(entries, task)
        return Block(
            shape=tuple(self.bank.shapes[index][axis] for axis in order),
            table=TaskTable([rows[task] for task in self.tasks], KEPT),
            shares=shares,
            grouped=grouped,
            drops_columns=grouped and groups[0].used_columns is not None,
        )

    def _row(
        self,
        entries: PlaneEntries,
        group: RowGroups | None,
        task: str,
        gaps: dict,
        tabled: dict,
    ) -> dict:
        """Stores a task's part of a plane; says where what is."""
        count = entries.count(task)
        codes = entries.codes
        if group is not None:
            codes = codes[group.entries]
        row = self._value_fields(entries, codes, count, tabled["codes"])
        for name, code in gaps.items():
            first = min(count, code.low.size)
            row |= self._gap_fields(name, code, first, tabled[name])
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
        fields = {
            "rows_place": self.store.append(rows),
            "num_dense": groups.num_dense,
        }
        if groups.used_columns is None:
            return fields
        columns = np.packbits(groups.used_columns, bitorder="little")
        return {
            **fields,
            "columns_place": self.store.append(columns),
            "num_columns": groups.num_columns,
        }

    def _gap_fields(
        self, prefix: str, gaps: GapCode, count: int, tabled: bool
    ) -> dict:
        """Stores gaps; returns the fields for the first `count` of them."""
        low = self._code_fields(
            prefix + "low", gaps.low, gaps.width, count, tabled
        )
        return {
            **low,
            prefix + "step": gaps.step,
            prefix + "high_place": self.store.append(gaps.high),
            prefix + "high_bytes": -(-int(gaps.ends[count - 1]) // 8),
        }

    def _value_fields(
        self, entries: PlaneEntries, codes: np.ndarray, count: int, tabled: bool
    ) -> dict:
        """Stores codes and codebooks."""
        width = entries.code_width(tabled)
        codebook = entries.codebook
        if tabled:
            # The whole table is looked up in it, codes that nobody has, too.
            missing = max(0, 2**width - codebook.size)
            codebook = np.pad(codebook, (0, missing))
        return {
            **self._code_fields("codes", codes, width, count, tabled),
            "codebook_place": self.store.append(codebook.tobytes()),
            "codebook_bytes": codebook.nbytes,
            "stride": entries.stride,
        }

    def _code_fields(
        self, name: str, codes: np.ndarray, width: int, count: int, tabled: bool
    ) -> dict:
        """Stores a stream of codes of equal width.

        What a graph would have to reckon from other fields is a field, too,
        since that takes operators.
        """
        row = {
            f"{name}_place": self.store.append_codes(codes, width),
            f"{name}_bytes": code_bytes(count, width),
            f"{name}_count": count,
        }
        if not tabled:
            row[f"{name}_shape"] = (-1, width)
            row[f"{name}_extent"] = (width, 1)
            return row
        return {
            **row,
            f"{name}_table": TABLE_PLACES[width],
            f"{name}_size": CODE_TABLES[width].size,
            f"{name}_shape": CODE_TABLES[width].shape,
        }


def _row_groups(planes: list[PlaneEntries]) -> list[RowGroups | None]:
    """Returns the groups of rows of every plane, `None` if they spare little.

    What takes more operators must spare enough on all planes together.
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


def _position_streams(
    planes: list[PlaneEntries], groups: list[RowGroups | None]
) -> dict:
    """Returns the positions of all planes' entries, by group of rows."""
    if groups[0] is None:
        return {"": [plane.positions for plane in planes]}
    positions = zip(*(group.positions for group in groups))
    return dict(zip(("dense_", "sparse_"), positions))


def _gaps_tabled(positions: Iterable[np.ndarray]) -> bool:
    """Tells whether tables may decode the gaps of all planes of a kernel."""
    best, taken = (
        sum(encode_gaps(p, widths).num_bits for p in positions)
        for widths in GAP_WIDTHS
    )
    return taken <= (1 + LOW_GROWTH) * best


def _codes_tabled(planes: list[PlaneEntries]) -> bool:
    """Tells whether tables may decode the codes of all planes of a kernel."""
    if any(plane.code_width(False) > max(TABLE_WIDTHS) for plane in planes):
        return False
    taken, best = (
        sum(p.codes.size * p.code_width(tabled) for p in planes)
        for tabled in (True, False)
    )
    return taken <= (1 + CODE_GROWTH) * best


def packed_bytes(bank: WeightBank, tasks: list[str]) -> int:
    """Returns what tasks take in the bank: masks, codes, private variables.

    Args:
        bank: `WeightBank`.
        tasks: list of str.
    """
    total = 0
    for record in (bank[task] for task in tasks):
        for part in record.components:
            total += len(part.own_mask) + len(part.shared_mask)
            total += len(part.codes) + part.codebook.nbytes
        total += sum(len(code.data) for code in record.private)
    return total
