"""What a graph looks up for a task: integers in the row of its number."""

import numpy as np
import tensorflow as tf


class TaskTable:
    """A table with a row for each task and a field or several columns.

    Every task adds a row to the file. So a field that is the same for all
    tasks is a constant of the graph and no part of the table, fields that are
    equal share their columns, and numbers that fit in 16 bits take no more.

    What is to be decoded must depend on the task's number, or the converter
    would compute it in advance. Hence a zero that it does not know is added to
    those constants that say where something is.

    >>> table = TaskTable([{"place": 0, "size": 8}, {"place": 9, "size": 8}])
    >>> table.num_bytes, table.read(tf.constant(1))["place"].numpy()
    (4, array([9], dtype=int32))

    Args:
        rows: list of dict, for each task an integer or a sequence of integers
            by field.
        hidden: tuple of str, endings of names of fields that the converter
            must not know.
    """

    def __init__(self, rows: list[dict], hidden: tuple[str, ...] = ()):
        self._constants: dict[str, np.ndarray] = {}
        self._hidden: dict[str, np.ndarray] = {}
        self._columns: dict[str, bytes] = {}
        found: dict[bytes, np.ndarray] = {}
        for name in rows[0]:
            values = [np.atleast_1d(row[name]) for row in rows]
            values = np.array(values, np.int32)
            if (values == values[0]).all():
                is_hidden = name.endswith(hidden)
                kind = self._hidden if is_hidden else self._constants
                kind[name] = values[0]
            else:
                self._columns[name] = values.tobytes()
                found[values.tobytes()] = values
        self._parts = _by_dtype(found)

    @property
    def num_bytes(self) -> int:
        return sum(
            values.nbytes
            for columns in self._parts.values()
            for values in columns.values()
        )

    def read(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the fields of a task, int32 tensors of one dimension.

        Args:
            number: int32 scalar, the number of the task.
        """
        tensors = {}
        for columns in self._parts.values():
            table = np.concatenate(list(columns.values()), axis=1)
            row = tf.cast(tf.gather(tf.constant(table), number), tf.int32)
            sizes = [values.shape[1] for values in columns.values()]
            tensors.update(zip(columns, tf.split(row, sizes)))
        return {
            **{name: tf.constant(v) for name, v in self._constants.items()},
            **_unknown(self._hidden, number),
            **{name: tensors[key] for name, key in self._columns.items()},
        }


def _unknown(values: dict, number: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns tensors of values that the converter does not know."""
    if not values:
        return {}
    zero = tf.minimum(number, 0)
    together = tf.constant(np.concatenate(list(values.values()))) + zero
    sizes = [value.size for value in values.values()]
    return dict(zip(values, tf.split(together, sizes)))


def _by_dtype(found: dict) -> dict:
    """Returns columns by the dtype that is wide enough for them."""
    parts: dict = {}
    for key, values in found.items():
        fits = np.array_equal(values, values.astype(np.int16))
        dtype = np.dtype(np.int16 if fits else np.int32)
        parts.setdefault(dtype.name, {})[key] = values.astype(dtype)
    return parts
