"""What a task uses of a kernel."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class KernelUsage:
    """What one task uses of one kernel.

    Args:
        path: The kernel's name.
        plane: The plane that the task lies on there.
        width: Bits of a code.
        own: Bool array of the kernel's shape, the own slots.
        shared: Bool array of the kernel's shape, the shared slots.
    """

    path: str
    plane: int
    width: int
    own: np.ndarray
    shared: np.ndarray

    @property
    def num_own(self) -> int:
        return int(self.own.sum())

    @property
    def num_shared(self) -> int:
        return int(self.shared.sum())

    @property
    def mask(self) -> np.ndarray:
        """All slots that the task uses."""
        return self.own | self.shared

    @property
    def sparsity(self) -> float:
        """The fraction of slots outside the mask."""
        return 1.0 - (self.num_own + self.num_shared) / self.own.size

    @property
    def dead_units(self) -> float:
        """The fraction of units without an incoming weight."""
        units = self.mask.reshape(-1, self.own.shape[-1])
        return 1.0 - units.any(axis=0).mean()
