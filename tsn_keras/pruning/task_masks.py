"""The masks of the running task while it trains."""

import numpy as np

from tsn_keras.layers.masked_kernel import MaskedKernel
from tsn_keras.pruning.threshold import largest


class TaskMask:
    """The running task's mask of one kernel, and what it may choose from.

    Args:
        kernel: `MaskedKernel`.
        owned: bool array, slots that earlier tasks of the plane own.
        frozen: float32 array, the values of the owned slots.
        available: bool array, the slots that the mask may contain: the owned
            ones, and those with bits left.
    """

    def __init__(
        self,
        kernel: MaskedKernel,
        owned: np.ndarray,
        frozen: np.ndarray,
        available: np.ndarray,
    ):
        self.kernel = kernel
        self._owns_slots = bool(owned.any())
        self.owned = _without_memory(owned)
        self.frozen = frozen
        if not self._owns_slots:
            self.frozen = np.broadcast_to(np.float32(0), kernel.shape)
        self.available = _without_memory(available)
        self.mask = self.available
        self._is_applied = False

    @property
    def path(self) -> str:
        return self.kernel.path

    @property
    def own(self) -> np.ndarray:
        return self.mask & ~self.owned if self._owns_slots else self.mask

    @property
    def shared(self) -> np.ndarray:
        return self.mask & self.owned

    def values(self) -> np.ndarray:
        """Returns what each slot would hold if the mask contained it."""
        trainable = np.asarray(self.kernel.kernel)
        if not self._owns_slots:
            return trainable
        return np.where(self.owned, self.frozen, trainable)

    def effective(self) -> np.ndarray:
        """Returns the kernel that the layer computes with."""
        return np.where(self.mask, self.values(), np.float32(0))

    def prune(self, importance: np.ndarray, sparsity: float) -> None:
        """Keeps the most important slots.

        Args:
            importance: float array of the kernel's shape.
            sparsity: float, the fraction of all slots to leave out.
        """
        kept = kept_slots(self.kernel.size, sparsity)
        kept = min(kept, int(self.available.sum()))
        self.mask = largest(importance, kept, self.available)

    def apply(self) -> None:
        """Lets the kernel compute with the mask."""
        self.kernel.own_mask.assign(self.own)
        self._fix(self.mask)
        self.kernel.open_gate()

    def apply_scores(self) -> None:
        """Lets the kernel compute with the mask, open to learned scores.

        The gate chooses among all available slots, so that scores can bring
        back a slot between two updates of the mask.
        """
        self.kernel.own_mask.assign(self.available & ~self.owned)
        self._fix(self.available)
        scores = np.asarray(self.kernel.scores)
        self.kernel.threshold.assign(scores[self.mask].min())

    def _fix(self, slots: np.ndarray) -> None:
        """Lets the kernel hold the frozen values of some slots."""
        # Of slots that nothing is frozen in, the zeros are there already.
        if self._owns_slots or not self._is_applied:
            shared = slots & self.owned
            fixed = np.where(shared, self.frozen, np.float32(0))
            self.kernel.fixed.assign(fixed)
        self._is_applied = True


def _without_memory(array: np.ndarray) -> np.ndarray:
    """Returns the array, or if all entries are equal one entry for all."""
    if not array.size or (array != array.flat[0]).any():
        return array
    return np.broadcast_to(array.flat[0], array.shape)


def kept_slots(size: int, sparsity: float) -> int:
    """Returns how many of `size` slots a sparsity keeps, at least one."""
    return max(1, round((1.0 - sparsity) * size))
