"""The masks of the running task while it trains."""

from collections.abc import Callable

import numpy as np

from tsn_keras.bank import ComponentDraft
from tsn_keras.layers.masked_kernel import MaskedKernel, assign, read
from tsn_keras.pruning.threshold import largest


class TaskMask:
    """The running task's mask of one kernel, and what it may choose from.

    A task that joins a plane uses all slots of the task it inherits from,
    and adds own slots where the plane is free:

    `mask = inherited | own`

    Args:
        kernel: `MaskedKernel`.
        owned: bool array, slots that earlier tasks of the plane own.
        frozen: float32 array, the values of the owned slots.
        available: bool array, the slots that the task may own. Those that
            are owned already are never among them.
        inherited: bool array or `None`, the owned slots that the mask
            contains; all owned ones by default.
        own_fraction: float in (0, 1], how much of the usual number of slots
            the task may own, since it inherits the rest.
        width: int, bits that the codes of own slots are expected to take.
    """

    def __init__(
        self,
        kernel: MaskedKernel,
        owned: np.ndarray,
        frozen: np.ndarray,
        available: np.ndarray,
        inherited: np.ndarray | None = None,
        own_fraction: float = 1.0,
        width: int = 32,
    ):
        self.kernel = kernel
        self.owned = _without_memory(owned)
        self.frozen = frozen
        if not owned.any():
            self.frozen = np.broadcast_to(np.float32(0), kernel.shape)
        self.available = _without_memory(available & ~owned)
        shared = owned if inherited is None else inherited & owned
        self.shared = _without_memory(shared)
        self.own_fraction = own_fraction
        self.width = width
        self.own = self.available
        self.second_moment: Callable[[], np.ndarray] | None = None
        # The training step whose values the mask was chosen by, if it was.
        self.updated_at: int | None = None
        self._inherits = bool(shared.any())
        self._is_fixed = False

    @property
    def path(self) -> str:
        return self.kernel.path

    @property
    def mask(self) -> np.ndarray:
        return self.own | self.shared if self._inherits else self.own

    def values(self) -> np.ndarray:
        """Returns what each slot would hold if the mask contained it."""
        trainable = read(self.kernel.kernel)
        if not self._inherits:
            return trainable
        return np.where(self.owned, self.frozen, trainable)

    def effective(self) -> np.ndarray:
        """Returns the kernel that the layer computes with."""
        return np.where(self.mask, self.values(), np.float32(0))

    def prune(self, importance: np.ndarray, sparsity: float) -> None:
        """Keeps the most important of the slots that the task may own.

        Args:
            importance: float array of the kernel's shape.
            sparsity: float, the fraction of all slots to leave out.
        """
        kept = kept_slots(self.kernel.size, sparsity)
        kept = min(kept, np.count_nonzero(self.available))
        self.own = largest(importance, kept, self.available)

    def take(self, own: np.ndarray) -> None:
        """Takes over own slots that were chosen before."""
        self.own = own
        self.updated_at = None

    def note_update(self, step: int | None) -> None:
        """Notes the training step whose values the mask was chosen by."""
        self.updated_at = step

    def watch_gradients(self, second_moment: Callable) -> None:
        """Lets the mask see the mean squared gradients of its kernel."""
        self.second_moment = second_moment

    def draft(
        self, widest: int, reference: np.ndarray | None
    ) -> ComponentDraft:
        """Returns what the task is to store in the kernel.

        Args:
            widest: Bits of the widest code that there is room for.
            reference: Bool array, the slots that the task's reference uses.
        """
        return ComponentDraft(
            values=self.effective(),
            own=self.own,
            shared=self.shared,
            owned=self.owned,
            reference=reference,
            widest=widest,
        )

    def apply(self) -> None:
        """Lets the kernel compute with the mask."""
        self._fix()
        assign(self.kernel.own_mask, self.own)

    def _fix(self) -> None:
        """Lets the kernel hold the inherited values, which never change."""
        if not self._is_fixed:
            fixed = np.where(self.shared, self.frozen, np.float32(0))
            assign(self.kernel.fixed, fixed)
            self._is_fixed = True


def _without_memory(array: np.ndarray) -> np.ndarray:
    """Returns the array, or if all entries are equal one entry for all."""
    if not array.size or (array != array.flat[0]).any():
        return array
    return np.broadcast_to(array.flat[0], array.shape)


def kept_slots(size: int, sparsity: float) -> int:
    """Returns how many of `size` slots a sparsity keeps, at least one."""
    return max(1, round((1.0 - sparsity) * size))
