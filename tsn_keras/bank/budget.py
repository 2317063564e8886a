"""What a slot may hold, in bits, and what the bank takes, in bytes."""

import dataclasses

import numpy as np

from tsn_keras.tables import Column, Table, Tabular

SLOT_BITS = 32


class BudgetError(ValueError):
    """Raised when a kernel has no bits left for a task."""


def widest_width(
    used_bits: np.ndarray,
    owned: np.ndarray,
    count: int,
    min_width: int,
    max_width: int,
    path: str,
) -> int:
    """Returns the widest code for which enough slots have room.

    A slot has room for a code of `w` bits if `used_bits + w <= 32`. Slots
    that the task would share need no new bits.

    Args:
        used_bits: Integer array of the kernel's shape.
        owned: bool array, the slots that the task could share.
        count: Number of slots that the task's mask will have.
        path: The kernel's name for the error.

    Raises:
        BudgetError: If even `min_width` leaves fewer than `count` slots.
    """
    free = SLOT_BITS - used_bits.astype(np.int64)
    for width in range(max_width, min_width - 1, -1):
        available = int((owned | (free >= width)).sum())
        if available >= count:
            return width
    raise BudgetError(
        f"Kernel '{path}' has no bits left for this task: it needs {count} of "
        f"{used_bits.size} slots with {min_width} free bits or more, and "
        f"{available} have them. On average {used_bits.mean():.1f} of "
        f"{SLOT_BITS} bits of a slot are used, at most {used_bits.max()}. "
        "Share weights (`sharing=tsn_keras.sharing.Always()` or a higher "
        "`threshold`), prune more (a higher `sparsity`), use fewer bits (a "
        "lower `max_width`), or take a larger backbone."
    )


@dataclasses.dataclass(frozen=True)
class Capacity(Tabular):
    """The size of the saved bank against one dense network.

    `fraction = total_bytes / dense_bytes`

    Printed, it is a short table, and so at the end of a notebook's cell.

    Args:
        bytes: Bytes by kind: `codes`, `masks`, `codebooks`, `private`,
            `statistics`, `base` (frozen weights, stored once), `metadata` and
            `container` (the file format's own bytes around the bank).
        dense_bytes: Bytes of one dense float32 network with one head.
    """

    bytes: dict[str, int]
    dense_bytes: int

    @property
    def total_bytes(self) -> int:
        """The size of the saved bank."""
        return sum(self.bytes.values())

    @property
    def fraction(self) -> float:
        """`total_bytes / dense_bytes`."""
        return self.total_bytes / self.dense_bytes

    def to_dict(self) -> dict:
        """Returns the entries of a report's `capacity`."""
        return {
            "bytes": dict(self.bytes),
            "total_bytes": self.total_bytes,
            "dense_bytes": self.dense_bytes,
            "fraction": self.fraction,
        }

    def _table(self) -> Table:
        total = self.total_bytes
        columns = Column("kind"), Column("bytes", ",d"), Column("share", ".1%")
        rows = [(k, n, n / total if total else 0.0) for k, n in self._kinds()]
        title = (
            f"Weight bank: {total:,} bytes, {self.fraction:.2%} of one dense "
            f"network ({self.dense_bytes:,} bytes)"
        )
        return Table(columns, rows, title)

    def _kinds(self) -> list[tuple[str, int]]:
        return sorted(self.bytes.items(), key=lambda kind: -kind[1])
