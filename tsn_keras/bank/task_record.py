"""All that the bank stores of one task."""

import dataclasses

from tsn_keras.bank.component import Component
from tsn_keras.bank.private_code import PrivateCode


@dataclasses.dataclass(frozen=True)
class TaskRecord:
    """A consolidated task.

    Args:
        name: str.
        planes: tuple of int, for each kernel the plane its component lies on.
        head: int, index of the head it uses.
        components: tuple of `Component`, one a kernel.
        private: tuple of `PrivateCode`, one a private variable.
        statistics: `PrivateCode` of the activation statistics that later
            tasks are compared with; of an empty array if none are kept.
        facts: dict of numbers and strings for the task's report.
        reference: int or `None`, the number of an earlier task (0 for the
            first) whose slots masks may refer to.
    """

    name: str
    planes: tuple[int, ...]
    head: int
    components: tuple[Component, ...]
    private: tuple[PrivateCode, ...]
    statistics: PrivateCode
    facts: dict
    reference: int | None = None

    @property
    def plane(self) -> int:
        """The plane of all kernels, the highest if they lie on several."""
        return max(self.planes, default=0)
