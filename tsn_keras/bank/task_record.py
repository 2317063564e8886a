"""All that the bank stores of one task."""

import dataclasses

import numpy as np

from tsn_keras.bank.component import Component
from tsn_keras.bank.private_code import PrivateCode


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """A consolidated task.

    Args:
        name: str.
        plane: int, the plane its components lie on.
        head: int, index of the head it uses.
        components: tuple of `Component`, one a kernel.
        private: tuple of `PrivateCode`, one a private variable.
        statistics: float16 array, the activation statistics that later
            tasks are compared with; empty if none are kept.
        facts: dict of numbers and strings for the task's report.
    """

    name: str
    plane: int
    head: int
    components: tuple[Component, ...]
    private: tuple[PrivateCode, ...]
    statistics: np.ndarray
    facts: dict
