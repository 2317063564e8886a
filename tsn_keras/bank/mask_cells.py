"""The cells of a mask: the slots where one row level meets a column level."""

from collections.abc import Iterator

import numpy as np

from tsn_keras.bank.gap_strings import StringDecoder

# Whole cells are moved if more than one slot in so many is on, else each slot.
_DENSE = 8


def decode_levels(
    size: int, num_levels: int, counts: Iterator[int], decoder: StringDecoder
) -> np.ndarray:
    """Decodes the levels of rows or columns.

    Args:
        size: int, number of rows.
        num_levels: int.
        counts: iterator over the number of ones of each string.
        decoder: `StringDecoder`.

    Returns:
        `uint8` array, the level of each row.
    """
    levels = np.zeros(size, np.uint8)
    rest = np.arange(size)
    for level in range(num_levels - 1):
        rare, are_ones = decoder.rare(next(counts), rest.size)
        string = np.full(rest.size, not are_ones)
        string[rare] = are_ones
        rest = rest[~string]
        levels[rest] = level + 1
    return levels


class Cells:
    """Where the slots of a matrix lie in its cells, and the other way round.

    The slots of a cell are in row-major order. Without a domain the place is
    computed from ranks of rows and columns, so that only the ones are touched.

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
        self._slots = None
        if domain is None:
            self._sizes = np.outer(*self._counts).reshape(-1)
        else:
            slots = np.flatnonzero(domain)
            cells = self._cells_of(*divmod(slots, self._num_columns))
            self._slots = slots[np.argsort(cells, kind="stable")]
            self._sizes = np.bincount(cells, minlength=self._num_cells)
        self._starts = np.cumsum(self._sizes) - self._sizes

    @property
    def _num_cells(self) -> int:
        return self._counts[0].size * self._counts[1].size

    def _cells_of(self, rows, columns):
        row_levels, column_levels = self._levels
        first = row_levels[rows] * np.uint8(self._counts[1].size)
        return first + column_levels[columns]

    def positions(self, ones: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields for each cell the positions of its ones, and its size.

        Args:
            ones: bool array, the mask, within the domain.
        """
        if self._slots is not None:
            found = ones.reshape(-1)[self._slots]
            for start, size in zip(self._starts, self._sizes):
                yield np.flatnonzero(found[start : start + size]), int(size)
            return
        if np.count_nonzero(ones) * _DENSE > ones.size:
            yield from self._dense_positions(ones)
            return
        rows, columns = np.nonzero(ones)
        cells = self._cells_of(rows, columns)
        ranks = [_ranks(levels) for levels in self._levels]
        widths = self._counts[1][self._levels[1][columns]]
        positions = ranks[0][rows] * widths + ranks[1][columns]
        positions = positions[np.argsort(cells, kind="stable")]
        counts = np.bincount(cells, minlength=self._num_cells)
        parts = np.split(positions, np.cumsum(counts)[:-1])
        yield from zip(parts, self._sizes.tolist())

    def fill(
        self,
        matrix: np.ndarray,
        counts: Iterator[int],
        decoder: StringDecoder,
    ) -> None:
        """Decodes the cells into a matrix of zeros.

        Args:
            matrix: bool array of zeros, changed.
            counts: iterator over the number of ones of each string.
            decoder: `StringDecoder`.
        """
        flat = matrix.reshape(-1)
        members = self._members()
        for cell, size in enumerate(self._sizes.tolist()):
            rare, are_ones = decoder.rare(next(counts), size)
            rows, columns = divmod(cell, self._counts[1].size)
            rows, columns = members[0][rows], members[1][columns]
            if self._slots is not None:
                start = self._starts[cell]
                slots = self._slots[start : start + size]
                if not are_ones:
                    flat[slots] = True
                flat[slots[rare]] = are_ones
                continue
            if not are_ones or rare.size * _DENSE > size:
                string = np.full(size, not are_ones)
                string[rare] = are_ones
                cell = string.reshape(rows.size, columns.size)
                matrix[np.ix_(rows, columns)] = cell
            elif rare.size:
                row, column = divmod(rare, columns.size)
                slots = rows[row] * self._num_columns + columns[column]
                flat[slots] = True

    def _members(self) -> list[list[np.ndarray]]:
        """The rows of each row level, the columns of each column level."""
        return [
            [np.flatnonzero(levels == level) for level in range(count.size)]
            for levels, count in zip(self._levels, self._counts)
        ]

    def _dense_positions(self, ones):
        members = self._members()
        for rows in members[0]:
            part = ones[rows]
            for columns in members[1]:
                cell = part[:, columns]
                yield np.flatnonzero(cell), cell.size


def _ranks(levels: np.ndarray) -> np.ndarray:
    """The place of each row among the rows of its level."""
    order = np.argsort(levels, kind="stable")
    counts = np.bincount(levels)
    ranks = np.empty(levels.size, np.int64)
    ranks[order] = np.arange(levels.size) - np.repeat(
        np.cumsum(counts) - counts, counts
    )
    return ranks
