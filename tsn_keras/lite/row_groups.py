"""The order of a kernel's slots in which their gaps take the fewest bits.

Some units of a layer have many more weights than others, and some inputs have
none at all. Hence the rows of a kernel as it is stored, one for each unit, are
taken in two groups, dense and sparse ones, each with gaps of its own; and
columns without any weight can be left out, which takes a graph three operators
on every entry.
"""

import dataclasses

import numpy as np

from tsn_keras.lite.gap_code import encode_gaps

# Thresholds that are tried lie between so many equal parts of the rows.
NUM_PARTS = 16


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """The slots of a kernel, group after group.

    Args:
        dense_rows: bool array, the rows of the first group.
        used_columns: bool array or `None`, the columns with any slot; `None`
            if none is left out.
        entries: int array, for each place in the new order the number of the
            slot there.
        positions: tuple of int arrays, rising positions of the slots in the
            flat matrix of the dense rows and the used columns, and in that of
            the sparse rows.
        num_columns: int, the columns of both.
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

    Args:
        slots: int array, rising positions in a flat matrix.
        shape: tuple of int, the number of the matrix's rows and columns.
        drop_columns: bool, whether columns without any slot are left out.

    Returns:
        `RowGroups`, or `None` if no two rows differ in their number of slots.
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
    return RowGroups(
        dense_rows,
        used_columns,
        np.concatenate(entries),
        tuple(positions),
        num_columns,
    )
