"""Rows and columns of a mask, sorted into levels of equal density.

Magnitude pruning leaves masks with very uneven rows and columns: a dead
pixel empties a row, a dead unit a column. Rows, columns or both are sorted
into at most 15 levels of density. The slots where one row level meets one
column level are a cell, and a cell has one density.
"""

import itertools

import numpy as np

from tsn_keras.bank.gap_strings import count_bits, entropy
from tsn_keras.bank.ones import ones_of_columns, ones_of_rows

MAX_LEVELS = 15
_MAX_DENSITIES = 128


def best_levels(
    matrix: np.ndarray, domain: np.ndarray | None
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    """Finds the levels of rows and columns with the shortest code.

    One level for all, levels of rows, of columns, and of both are tried.

    Args:
        matrix: bool array of two axes, the mask.
        domain: bool array of that shape that contains the mask, or `None`
            for all slots. Only its slots are coded.

    Returns:
        The bits of all strings (see `string_counts`), and
        the `uint8` levels of the rows and of the columns.
    """
    rows, columns = matrix.shape
    choices = [np.zeros(rows, np.uint8)], [np.zeros(columns, np.uint8)]
    if rows > 1:
        ones = ones_of_rows(matrix)
        slots = _slots(domain, 1, rows, columns)
        choices[0].append(_levels(ones, slots, 1))
        # Empty rows cost nothing, whatever the columns are.
        live = ones > 0
        live_domain = None if domain is None else domain[live]
        slots = _slots(live_domain, 0, columns, np.count_nonzero(live))
        ones = ones_of_columns(matrix)
        choices[1].append(_levels(ones, slots, num_levels(choices[0][1])))
    options = []
    for levels in itertools.product(*choices):
        ones, slots = string_counts(matrix, domain, *levels)
        bits = entropy(ones, slots) + count_bits(slots)
        options.append((float(bits.sum()), levels))
    return min(options, key=lambda option: option[0])


def num_levels(levels: np.ndarray) -> int:
    """Returns how many levels there are."""
    return int(levels.max()) + 1


def level_strings(levels: np.ndarray):
    """Yields for each level but the last which of the remaining rows it has.

    Args:
        levels: `uint8` array, the level of each row.
    """
    for level in range(num_levels(levels) - 1):
        yield levels[levels >= level] == level


def string_counts(
    matrix: np.ndarray,
    domain: np.ndarray | None,
    row_levels: np.ndarray,
    column_levels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Counts the ones and the slots of every string of a mask.

    The strings are those of the row levels, those of the column levels, and
    the cells, row level by row level.

    Returns:
        Two integer arrays of one entry a string.
    """
    ones, slots, sizes = [], [], []
    for levels in (row_levels, column_levels):
        size = np.bincount(levels)
        ones.append(size[:-1])
        slots.append(np.cumsum(size[::-1])[:0:-1])
        sizes.append(size)
    ones.append(_cell_sums(matrix, row_levels, column_levels))
    if domain is None:
        slots.append(np.outer(*sizes).reshape(-1))
    else:
        slots.append(_cell_sums(domain, row_levels, column_levels))
    return np.concatenate(ones), np.concatenate(slots)


def _slots(domain, axis, count, slots):
    if domain is None:
        return np.full(count, slots)
    return _ones(domain, axis)


def _ones(matrix, axis):
    return ones_of_rows(matrix) if axis else ones_of_columns(matrix)


def _cell_sums(matrix, row_levels, column_levels):
    # Sums along one axis are enough if the other has one level.
    for axis, levels in ((1, row_levels), (0, column_levels)):
        if (column_levels, row_levels)[1 - axis].any():
            continue
        sums = _ones(matrix, axis)
        return np.bincount(levels, weights=sums).astype(np.int64)
    per_column = np.stack(
        [
            ones_of_columns(matrix[row_levels == level])
            for level in range(num_levels(row_levels))
        ]
    )
    cells = [
        per_column[:, column_levels == level].sum(axis=1)
        for level in range(num_levels(column_levels))
    ]
    return np.stack(cells, axis=1).reshape(-1)


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
    for _ in range(min(MAX_LEVELS, sizes.size) - 1):
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
