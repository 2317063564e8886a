"""How many bytes the bank takes, by kind."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Capacity:
    """The size of the saved bank against one dense network.

    `fraction = total_bytes / dense_bytes`

    Args:
        bytes: dict, bytes by kind: `codes`, `masks`, `codebooks`, `private`,
            `statistics`, `base` (frozen weights, stored once), `metadata` and
            `container` (the file format's own bytes around the bank).
        dense_bytes: int, bytes of one dense float32 network with one head.
    """

    bytes: dict[str, int]
    dense_bytes: int

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes.values())

    @property
    def fraction(self) -> float:
        return self.total_bytes / self.dense_bytes

    def to_dict(self) -> dict:
        """Returns the entries of a report's `capacity`."""
        return {
            "bytes": dict(self.bytes),
            "total_bytes": self.total_bytes,
            "dense_bytes": self.dense_bytes,
            "fraction": self.fraction,
        }
