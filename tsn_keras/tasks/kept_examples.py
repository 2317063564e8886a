"""A few validation examples of each task, to verify its files with."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import tree

from tsn_keras.bank import PrivateCode, TaskRecord

# Of one task, and in all. They are in memory only.
MOST_EXAMPLES = 32
MOST_BYTES = 1 << 26
MOST_BYTES_A_TASK = 1 << 24


class KeptExamples:
    """Examples that tasks were validated with, while the model lives.

    They are saved nowhere. Where they take too much memory, those of the tasks
    that were consolidated first are dropped.
    """

    def __init__(self):
        # With the statistics of its record, which no other record has.
        self._kept: dict[str, tuple[PrivateCode, Any]] = {}

    def keep(self, record: TaskRecord, examples: Any) -> None:
        """Keeps the examples of a task.

        Args:
            examples: `(x, y)`, nests of arrays; `y` may be `None`.
        """
        if _num_bytes(examples) > MOST_BYTES_A_TASK:
            return
        kept = record.statistics, examples
        self._kept = {**self._kept, record.name: kept}
        taken = sum(_num_bytes(kept) for _, kept in self._kept.values())
        while taken > MOST_BYTES:
            first = next(iter(self._kept))
            taken -= _num_bytes(self._kept.pop(first)[1])

    def keep_tasks(self, names: Iterable[str]) -> None:
        """Forgets the examples of all other tasks."""
        kept = self._kept
        self._kept = {name: kept[name] for name in kept if name in set(names)}

    def of(self, record: TaskRecord) -> Any:
        """Returns the examples of a task, `None` if there are none.

        Those of a task that only has the same name, in a bank that was loaded
        since, are none of its own.
        """
        statistics, examples = self._kept.get(record.name, (None, None))
        return examples if statistics is record.statistics else None


def rows_to_keep(example: Any) -> int:
    """Returns how many examples such as one in a batch of one can be kept."""
    size = max(1, _num_bytes(example))
    return max(1, min(MOST_EXAMPLES, MOST_BYTES_A_TASK // size))


def _num_bytes(examples: Any) -> int:
    parts = [part for part in tree.flatten(examples) if part is not None]
    return sum(np.asarray(part).nbytes for part in parts)
