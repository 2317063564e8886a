"""The masks of the running task."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tsn_keras.bank import ComponentDraft
from tsn_keras.data import check_integers
from tsn_keras.layers.masked_kernel import MaskedKernel, assign, read

_INFINITY_BITS = 0x7F800000


@dataclasses.dataclass(eq=False)
class TaskMask:
    """The running task's mask of one kernel, and what it may choose from.

    A task that joins a plane uses all slots of the task it inherits from,
    and adds own slots where the plane is free:

    `mask = inherited | own`

    Args:
        owned: bool array, slots that earlier tasks of the plane own.
        frozen: float32 array, the values of the owned slots.
        available: bool array, the slots that the task may own. Those that
            are owned already are never among them.
        inherited: bool array, the owned slots that the mask contains; by
            default all of them.
        own_fraction: in (0, 1], how much of the usual number of slots the
            task may own, since it inherits the rest.
        width: bits that the codes of own slots are expected to take.
    """

    kernel: MaskedKernel
    owned: np.ndarray
    frozen: np.ndarray
    available: np.ndarray
    inherited: dataclasses.InitVar[np.ndarray | None] = None
    own_fraction: float = 1.0
    width: int = 32

    def __post_init__(self, inherited):
        owned = self.owned
        if not owned.any():
            self.frozen = np.broadcast_to(np.float32(0), self.kernel.shape)
        shared = owned if inherited is None else inherited & owned
        self.owned = _without_memory(owned)
        self.shared = _without_memory(shared)
        self.available = _without_memory(self.available & ~owned)
        self.own = self.available
        self.second_moment: Callable[[], np.ndarray] | None = None
        self._inherits = bool(shared.any())
        self._is_fixed = False

    @property
    def path(self) -> str:
        """The kernel's path, as `summary` shows it."""
        return self.kernel.path

    @property
    def mask(self) -> np.ndarray:
        """All slots that the task uses, own and shared."""
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

    def use_second_moment(self, read_moment: Callable[[], np.ndarray]) -> None:
        """Sets the function that returns the kernel's mean squared gradient."""
        self.second_moment = read_moment

    def prune(self, importance: np.ndarray, sparsity: float) -> None:
        """Keeps the most important of the slots that the task may own.

        Args:
            importance: float array of the kernel's shape.
            sparsity: the fraction of all slots that a task without
                inheritance would leave out.
        """
        sparsity = 1.0 - self.own_fraction * (1.0 - sparsity)
        kept = kept_slots(self.kernel.size, sparsity)
        kept = min(kept, np.count_nonzero(self.available))
        self.take(largest(importance, kept, self.available))

    def take(self, own: np.ndarray) -> None:
        """Makes some slots the task's own; `apply` lets the kernel know."""
        self.own = own

    def draft(
        self, widest: int, reference: np.ndarray | None
    ) -> ComponentDraft:
        """Returns what the task is to store; see `ComponentDraft`."""
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
        if not self._is_fixed:
            # The inherited values never change.
            fixed = np.where(self.shared, self.frozen, np.float32(0))
            assign(self.kernel.fixed, fixed)
            self._is_fixed = True
        assign(self.kernel.own_mask, self.own)


def _without_memory(array: np.ndarray) -> np.ndarray:
    """Returns the array, as one repeated entry if all of them are equal."""
    if not array.size or (array != array.flat[0]).any():
        return array
    return np.broadcast_to(array.flat[0], array.shape)


def kept_slots(size: int, sparsity: float) -> int:
    """Returns how many of `size` slots a sparsity keeps, at least one."""
    return max(1, round((1.0 - sparsity) * size))


def largest(
    values: np.ndarray, count: int, available: np.ndarray | None = None
) -> np.ndarray:
    """Marks exactly `count` positions with the largest magnitudes.

    Among equal magnitudes the lowest flat index comes first: the same values
    always give the same mask.

    >>> largest(np.array([0.5, -3.0, 0.5, 2.0]), count=3)
    array([ True,  True, False,  True])

    Args:
        values: real array of any shape. Compared as float32.
        count: how many entries of the result, of the same shape, are `True`.
        available: bool array of the shape of `values`. Only positions where
            it is `True` can be marked.

    Raises:
        ValueError: If `values` contains NaN, `available` is not a bool array
            of the same shape, or `count` is negative or larger than the
            number of (available) positions.
    """
    values = np.asarray(values)
    check_integers(count=count)
    if values.dtype.kind not in "fiub":
        raise TypeError(
            "`values` must be an array of real numbers. Received: dtype "
            f"{values.dtype}"
        )
    bits = _magnitude_bits(values)
    if available is None:
        available = np.ones(values.shape, bool)
    available = np.asarray(available)
    if available.shape != values.shape or available.dtype != bool:
        raise ValueError(
            "`available` must be a bool array of the shape of `values`, "
            f"{values.shape}. Received: shape {available.shape}, dtype "
            f"{available.dtype}"
        )
    places = np.count_nonzero(available)
    if places < bits.size:
        bits = np.where(available.reshape(-1), bits, np.int32(-1))
    if not 0 <= count <= places:
        raise ValueError(
            f"`count` must be from 0 to {places}, the number of "
            f"available positions out of {values.size}. Received: {count}. "
            "Keep fewer, or free some positions."
        )
    if count == places:
        return available.copy()
    if count == 0:
        return np.zeros(values.shape, bool)
    place = bits.size - count
    threshold = np.partition(bits, place)[place]
    mask = bits >= threshold
    surplus = np.count_nonzero(mask) - count
    if surplus:
        mask[np.flatnonzero(bits == threshold)[-surplus:]] = False
    return mask.reshape(values.shape)


def _magnitude_bits(values):
    """Returns `|values|` as float32, flattened, as integers of the same order.

    The bit patterns of non-negative floats ascend with the floats.
    """
    # A float64 beyond the range of float32 is simply among the largest.
    with np.errstate(over="ignore"):
        magnitudes = np.abs(values.reshape(-1).astype(np.float32, copy=False))
    bits = magnitudes.view(np.int32)
    if bits.size and bits.max() > _INFINITY_BITS:
        index = int(np.argmax(bits > _INFINITY_BITS))
        raise ValueError(
            "`values` must not contain NaN. Received: NaN at flat index "
            f"{index}. Training has probably diverged: lower the learning "
            "rate, or check the data."
        )
    return bits
