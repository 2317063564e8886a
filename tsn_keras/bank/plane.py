"""One plane of one kernel, laid component after component."""

import numpy as np


class Plane:
    """Who owns each slot of a plane, and the frozen value there.

    A later task changes nothing of what earlier ones laid, so one state
    serves the view that each of them has of the plane.

    Args:
        shape: tuple of int, the kernel's.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.count = 0
        self.frozen = np.zeros(shape, np.float32)
        # 0 for a free slot, else 1 + the number of its owner on the plane.
        self._owner = np.zeros(shape, np.uint16)

    def lay(self, own: np.ndarray, values: np.ndarray) -> None:
        """Adds the component of the plane's next task.

        Args:
            own: bool array, its own slots.
            values: float32 array, their values in flat order.
        """
        self.count += 1
        slots = np.flatnonzero(own)
        self._owner.reshape(-1)[slots] = self.count
        self.frozen.reshape(-1)[slots] = values

    def owned(self, count: int) -> np.ndarray:
        """Returns the slots that the first `count` tasks of the plane own."""
        # Free slots wrap around to the highest number.
        return self._owner - np.uint16(1) < count
