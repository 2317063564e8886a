"""The ones in the rows and columns of a bool matrix."""

import numpy as np

# A byte holds the sum of so many bytes that are 0 or 1.
_BLOCK = 255
_WORD = 8


def ones_of_columns(matrix: np.ndarray) -> np.ndarray:
    """Returns the number of ones in each column.

    `np.count_nonzero` widens every entry before it adds; bytes are added here,
    many at once.

    >>> ones_of_columns(np.array([[True, False], [True, True]]))
    array([2, 1])

    Args:
        matrix: bool array of two axes.

    Returns:
        int64 array, one entry a column.
    """
    counts = np.zeros(matrix.shape[1], np.int64)
    entries = matrix.view(np.uint8)
    for start in range(0, matrix.shape[0], _BLOCK):
        block = entries[start : start + _BLOCK]
        counts += block.sum(axis=0, dtype=np.uint8)
    return counts


def ones_of_rows(matrix: np.ndarray) -> np.ndarray:
    """Returns the number of ones in each row.

    Eight entries are added at once, as the bytes of one word.

    >>> ones_of_rows(np.array([[True, False], [True, True]]))
    array([1, 2])

    Args:
        matrix: bool array of two axes, contiguous in rows.

    Returns:
        int64 array, one entry a row.
    """
    width = matrix.shape[1] // _WORD * _WORD
    counts = np.count_nonzero(matrix[:, width:], axis=1)
    words = matrix[:, :width].view(np.uint64)
    for start in range(0, words.shape[1], _BLOCK):
        block = words[:, start : start + _BLOCK]
        sums = block.sum(axis=1, keepdims=True).view(np.uint8)
        counts += sums.sum(axis=1, dtype=np.int64)
    return counts
