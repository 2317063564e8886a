"""The cells of a mask: the slots where one row level meets a column level."""

import itertools
from collections.abc import Iterator

import numpy as np

from tsn_keras.bank.gap_strings import StringDecoder, as_bits

# Whole cells are moved if more than one slot in so many is on, else each slot.
_DENSE = 8


def decode_levels(
    size: int, num_levels: int, decoder: StringDecoder
) -> np.ndarray:
    """Decodes the levels of rows or columns.

    Args:
        size: int, number of rows.
        num_levels: int.
        decoder: `StringDecoder`.

    Returns:
        `uint8` array, the level of each row.
    """
    levels = np.zeros(size, np.uint8)
    rest = np.arange(size)
    for level in range(num_levels - 1):
        rest = rest[~decoder.string(rest.size)]
        levels[rest] = level + 1
    return levels


def live_slots(domain: np.ndarray):
    """Returns the index of the rows and columns that a domain has slots in.

    Args:
        domain: bool array of two axes.
    """
    rows, columns = domain.any(axis=1), domain.any(axis=0)
    if rows.all() and columns.all():
        return ...
    return np.ix_(rows, columns)


class Cells:
    """Where the slots of a matrix lie in its cells, and the other way round.

    The slots of a cell are in row-major order. Where few are on and all are
    coded, their places are computed from ranks of rows and columns, so that
    no others are touched.

    Args:
        shape: tuple of two int.
        domain: bool array of that shape, the slots to code; `None` for all.
        row_levels: `uint8` array.
        column_levels: `uint8` array.
    """

    def __init__(self, shape, domain, row_levels, column_levels):
        self._levels = row_levels, column_levels
        self._counts = [np.bincount(levels) for levels in self._levels]
        self._num_columns = shape[1]
        self._domain = domain

    def _members(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields rows and columns of each cell."""
        rows, columns = (
            [(levels == level).nonzero()[0] for level in range(count.size)]
            for levels, count in zip(self._levels, self._counts)
        )
        return itertools.product(rows, columns)

    def _cell(self, matrix, rows, columns) -> np.ndarray:
        """The entries of a cell in row-major order."""
        if rows.size < matrix.shape[0]:
            matrix = matrix[rows]
        if columns.size < matrix.shape[1]:
            matrix = matrix[:, columns]
        return matrix.reshape(-1)

    def positions(self, ones: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields for each cell the positions of its ones, and its size.

        Args:
            ones: bool array, the mask, within the domain.
        """
        dense = np.count_nonzero(ones) * _DENSE > ones.size
        if self._domain is None and not dense:
            yield from self._sparse_positions(ones)
            return
        for members in self._members():
            cell = self._cell(ones, *members)
            if self._domain is not None:
                cell = cell[self._cell(self._domain, *members)]
            yield np.flatnonzero(cell), cell.size

    def _sparse_positions(self, ones):
        rows, columns = np.nonzero(ones)
        row_levels, column_levels = self._levels
        sizes = self._counts[1]
        cells = row_levels[rows] * np.uint8(sizes.size) + column_levels[columns]
        row_ranks, column_ranks = map(_ranks, self._levels)
        widths = sizes[column_levels[columns]]
        positions = row_ranks[rows] * widths + column_ranks[columns]
        positions = positions[np.argsort(cells, kind="stable")]
        all_sizes = np.outer(*self._counts).reshape(-1)
        counts = np.bincount(cells, minlength=all_sizes.size)
        parts = np.split(positions, np.cumsum(counts)[:-1])
        yield from zip(parts, all_sizes.tolist())

    def fill(self, matrix: np.ndarray, decoder: StringDecoder) -> None:
        """Decodes the cells into a matrix of zeros.

        Args:
            matrix: bool array of zeros, changed.
            decoder: `StringDecoder`.
        """
        flat = matrix.reshape(-1)
        for rows, columns in self._members():
            places, size = None, rows.size * columns.size
            if self._domain is not None:
                # Positions count the slots of the domain, places all slots.
                places = np.flatnonzero(self._cell(self._domain, rows, columns))
                size = places.size
            rare, are_ones = decoder.rare(size)
            if not are_ones or (places is None and rare.size * _DENSE > size):
                string = as_bits(size, rare, are_ones)
                if places is None:
                    cell = string.reshape(rows.size, columns.size)
                    matrix[rows[:, None], columns] = cell
                    continue
                rare = np.flatnonzero(string)
            if rare.size:
                places = rare if places is None else places[rare]
                row, column = divmod(places, columns.size)
                slots = rows[row] * self._num_columns + columns[column]
                flat[slots] = True


def _ranks(levels: np.ndarray) -> np.ndarray:
    """The place of each row among the rows of its level."""
    order = np.argsort(levels, kind="stable")
    counts = np.bincount(levels)
    ranks = np.empty(levels.size, np.int64)
    ranks[order] = np.arange(levels.size) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    return ranks
