"""The rows and columns of a mask in levels of density, and its cells.

Magnitude pruning leaves masks with very uneven rows and columns: a dead pixel
empties a row, a dead unit a column. So rows, columns or both are sorted into
at most 15 levels of density. The slots where one row level meets one column
level are a cell. Each cell has a density of its own and is coded as one string
of bits (`bit_strings`). The levels are strings too: for each level but the
last, which of the remaining rows belong to it.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from tsn_keras.bank.bit_strings import (
    StringDecoder,
    StringEncoder,
    count_bits,
    entropy,
)

_MAX_LEVELS = 15
_MAX_DENSITIES = 128


def best_levels(
    matrix: np.ndarray, domain: np.ndarray | None
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """Finds the levels of rows and columns with the shortest code.

    One level for all, levels of rows, of columns, and of both are tried.

    `matrix` is the mask. `domain` is a bool array of its shape that contains
    it: only the slots of the domain are coded. `None` means all slots.

    Returns the bits of all strings, and the `uint8` levels of the rows and of
    the columns.
    """
    rows, columns = matrix.shape
    ones = _Counts(matrix)
    slots = None if domain is None else _Counts(domain)
    row_choices = [np.zeros(rows, np.uint8)]
    column_choices = [np.zeros(columns, np.uint8)]
    if rows > 1:
        row_slots = np.full(rows, columns) if slots is None else slots.rows
        row_choices.append(_levels(ones.rows, row_slots, 1))
        # Empty rows cost nothing, whatever the columns are.
        live = ones.rows > 0
        if domain is None:
            column_slots = np.full(columns, np.count_nonzero(live))
        else:
            column_slots = _count(domain[live], 0)
        cells = _num_levels(row_choices[1])
        column_choices.append(_levels(ones.columns, column_slots, cells))
    options = []
    for levels in itertools.product(row_choices, column_choices):
        counts, sizes = _string_counts(ones, slots, *levels)
        bits = entropy(counts, sizes) + count_bits(sizes)
        options.append((float(bits.sum()), levels))
    return min(options, key=lambda option: option[0])


class _Counts:
    """How many slots of a matrix are on in its rows, columns and cells."""

    def __init__(self, matrix: np.ndarray):
        self._matrix = matrix
        self.rows, self.columns = _count(matrix, 1), _count(matrix, 0)

    def cells(self, row_levels, column_levels) -> np.ndarray:
        """One entry a cell, row level by row level."""
        # The counts along one axis are enough if the other has one level.
        if not column_levels.any():
            return np.bincount(row_levels, self.rows).astype(np.int64)
        if not row_levels.any():
            return np.bincount(column_levels, self.columns).astype(np.int64)
        levels = range(_num_levels(row_levels))
        rows = (self._matrix[row_levels == level] for level in levels)
        cells = [np.bincount(column_levels, _count(part, 0)) for part in rows]
        return np.concatenate(cells).astype(np.int64)


def _count(matrix: np.ndarray, axis: int) -> np.ndarray:
    # Several times as fast as `np.count_nonzero(matrix, axis)`.
    counts = matrix.view(np.uint8).sum(axis, dtype=np.uint32)
    return counts.astype(np.int64)


def _string_counts(ones: _Counts, slots: _Counts | None, *levels: np.ndarray):
    """The ones and the slots of every string: row and column levels, cells."""
    sizes = [np.bincount(axis) for axis in levels]
    if slots is None:
        cells = np.outer(*sizes).reshape(-1)
    else:
        cells = slots.cells(*levels)
    all_ones = [*(size[:-1] for size in sizes), ones.cells(*levels)]
    remaining = [np.cumsum(size[::-1])[:0:-1] for size in sizes]
    return np.concatenate(all_ones), np.concatenate([*remaining, cells])


def _num_levels(levels: np.ndarray) -> int:
    return int(levels.max()) + 1


def _levels(ones, slots, cells):
    """Sorts rows (or columns) by density into the best levels.

    A level is an interval of densities. Its cost in bits splits into a sum
    over levels: the entropy of its slots, its part of the entropy of the
    level sequence, and the counts of one string and `cells` cells. So
    dynamic programming over the distinct densities finds the best intervals.
    """
    densities = ones / np.maximum(slots, 1)
    _, members, sizes = np.unique(
        _binned(densities), return_inverse=True, return_counts=True
    )
    members = members.reshape(-1)
    rows = np.append(0, np.cumsum(sizes))
    total_ones = np.append(0, np.cumsum(np.bincount(members, weights=ones)))
    total_slots = np.append(0, np.cumsum(np.bincount(members, weights=slots)))
    level_rows = np.maximum(rows - rows[:, None], 0)
    level_ones = np.maximum(total_ones - total_ones[:, None], 0)
    level_slots = np.maximum(total_slots - total_slots[:, None], 0)
    cost = entropy(level_ones, level_slots)
    cost += count_bits(rows[-1]) + cells * count_bits(level_slots / cells)
    cost -= level_rows * np.log2(np.maximum(level_rows, 1.0))
    cost[level_rows == 0] = np.inf

    best, starts = [cost[0]], []
    for _ in range(min(_MAX_LEVELS, sizes.size) - 1):
        options = best[-1][:, None] + cost
        starts.append(options.argmin(axis=0))
        best.append(options.min(axis=0))
    end = sizes.size
    level_of_bin = np.zeros(end, np.uint8)
    for level in range(int(np.argmin([row[-1] for row in best])), 0, -1):
        start = starts[level - 1][end]
        level_of_bin[start:end] = level
        end = start
    return level_of_bin[members]


def _binned(densities):
    """Joins similar densities, so that few distinct ones are left."""
    if np.unique(densities).size <= _MAX_DENSITIES:
        return densities
    # The deviation of a count is its square root, hence this spacing. Empty
    # rows stay apart.
    scaled = np.sqrt(densities / densities.max()) * (_MAX_DENSITIES - 2)
    return np.where(densities > 0, 1 + scaled.astype(np.int64), 0)


def encode_cells(
    mask: np.ndarray,
    domain: np.ndarray | None,
    levels: tuple[np.ndarray, np.ndarray],
    encoder: StringEncoder,
) -> None:
    """Codes the levels, and the cells of a mask, each in row-major order.

    The arguments are those and the levels of `best_levels`.
    """
    for axis in levels:
        for level in range(_num_levels(axis) - 1):
            string = axis[axis >= level] == level
            encoder.add(np.flatnonzero(string), string.size)
    for members in _members(levels):
        cell = _cell(mask, *members)
        if domain is not None:
            cell = cell[_cell(domain, *members)]
        encoder.add(np.flatnonzero(cell), cell.size)


def _members(levels) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The rows and the columns of each cell."""
    rows, columns = (
        [np.flatnonzero(axis == level) for level in range(_num_levels(axis))]
        for axis in levels
    )
    return itertools.product(rows, columns)


def _cell(matrix, rows, columns) -> np.ndarray:
    """The entries of a cell in row-major order."""
    if rows.size < matrix.shape[0]:
        matrix = matrix[rows]
    if columns.size < matrix.shape[1]:
        matrix = matrix[:, columns]
    return matrix.reshape(-1)


def decode_cells(
    shape: tuple[int, int],
    domain: np.ndarray | None,
    num_levels: tuple[int, int],
    decoder: StringDecoder,
) -> np.ndarray:
    """Decodes a mask that `encode_cells` coded with so many levels."""
    levels = [
        _decode_levels(size, count, decoder)
        for size, count in zip(shape, num_levels)
    ]
    mask = np.zeros(shape, bool)
    for rows, columns in _members(levels):
        if domain is None:
            places = decoder.ones(rows.size * columns.size)
        else:
            places = np.flatnonzero(_cell(domain, rows, columns))
            places = places[decoder.ones(places.size)]
        row, column = divmod(places, columns.size)
        slots = rows[row] * shape[1] + columns[column]
        mask.reshape(-1)[slots] = True
    return mask


def _decode_levels(size: int, count: int, decoder: StringDecoder):
    levels = np.zeros(size, np.uint8)
    rest = np.arange(size)
    for level in range(count - 1):
        is_higher = np.ones(rest.size, bool)
        is_higher[decoder.ones(rest.size)] = False
        rest = rest[is_higher]
        levels[rest] = level + 1
    return levels
