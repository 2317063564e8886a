"""A component in the making: what a task is to store in one kernel."""

import dataclasses
from typing import Protocol

import numpy as np

from tsn_keras.bank.records import FLOAT_WIDTH, Component


class Codes(Protocol):
    """Codes of the own slots, and the centroids that they stand for."""

    width: int
    centroids: np.ndarray
    codes: np.ndarray

    def subset(self, kept: np.ndarray) -> "Codes":
        """Returns the codes of some of the slots only."""


@dataclasses.dataclass
class ComponentDraft:
    """What a task is to store in one kernel, until it is packed.

    All arrays but the codes have the kernel's shape.

    Args:
        values: float32, what the network computes with, before it is coded.
        own: bool, the slots that the task writes.
        shared: bool, the slots that it reuses.
        owned: bool, the slots of earlier tasks of the plane.
        reference: bool, the slots that the task's reference uses, or `None`.
        widest: Bits of the widest code that there is room for.
        codes: What own slots hold, `None` for the float32 values.
    """

    values: np.ndarray
    own: np.ndarray
    shared: np.ndarray
    owned: np.ndarray
    reference: np.ndarray | None
    widest: int
    codes: Codes | None = None

    def prune(self, values: np.ndarray, own: np.ndarray) -> None:
        """Takes over fewer own slots, and the kernel without the others."""
        self.values, self.own = values, own

    def encode(self, codes: Codes | None) -> None:
        """Takes over the codes of the own slots."""
        self.codes = codes

    def keep(self, kept: np.ndarray) -> None:
        """Drops own slots, and what is coded of them."""
        dropped = self.own & ~kept
        self.values = np.where(dropped, np.float32(0), self.values)
        if self.codes is not None:
            self.codes = self.codes.subset(kept[self.own])
        self.own = kept

    def place(self, values: np.ndarray) -> None:
        """Takes over what the network computes with once it is coded."""
        self.values = values

    def pack(self) -> Component:
        """Packs the codes and codes the masks."""
        coded = (FLOAT_WIDTH,)
        if self.codes is not None:
            codes = self.codes
            coded = codes.width, codes.centroids, codes.codes
        masks = self.own, self.shared, self.owned
        return Component.encode(
            *masks, self.values, *coded, reference=self.reference
        )

    def mask_bytes(self) -> int:
        """Returns the bytes of the coded masks alone."""
        packed = dataclasses.replace(self, codes=None).pack()
        return len(packed.own_mask) + len(packed.shared_mask)
