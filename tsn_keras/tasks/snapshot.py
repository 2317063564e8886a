"""Values of variables, taken down so that they can come back."""

import tempfile
import weakref
from collections.abc import Iterable

import keras
import numpy as np

from tsn_keras.layers import read

# What may be kept twice: the training of a small network must not wait for
# files, and that of a large one must not take the memory.
MOST_BYTES_IN_MEMORY = 1 << 24
# A system may write less at a time than it is given.
MOST_BYTES_A_WRITE = 1 << 24


class Snapshot:
    """The values that variables have now.

    Many bytes lie in a temporary file without a name, which goes when this
    object does. What cannot be written there stays in memory.

    Args:
        variables: The variables, whose values are read one at a time.
    """

    def __init__(self, variables: Iterable[keras.Variable]):
        self._file = tempfile.SpooledTemporaryFile(
            MOST_BYTES_IN_MEMORY, buffering=0
        )
        weakref.finalize(self, self._file.close)
        self._kept = [(v, self._keep(read(v))) for v in variables]

    def _keep(self, value: np.ndarray) -> np.ndarray | tuple:
        """Returns a copy of a value, or where and as what it is in the file."""
        start, rest = self._file.tell(), _as_bytes(value)
        try:
            while rest.size:
                rest = rest[self._file.write(rest[:MOST_BYTES_A_WRITE]) :]
        except OSError:
            self._file.seek(start)
            return value.copy()
        return start, value.dtype

    def restore(self) -> None:
        """Gives all variables their values back; again, if it is wanted."""
        for variable, kept in self._kept:
            if not isinstance(kept, np.ndarray):
                kept = self._read(variable.shape, *kept)
            variable.assign(kept)

    def _read(self, shape: tuple, start: int, dtype: np.dtype) -> np.ndarray:
        self._file.seek(start)
        value = np.empty(shape, dtype)
        rest = _as_bytes(value)
        while rest.size:
            rest = rest[self._file.readinto(rest) :]
        return value


def _as_bytes(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
