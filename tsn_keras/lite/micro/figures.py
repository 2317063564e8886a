"""What a file takes on a microcontroller."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class MicroFigures:
    """What a file takes on a microcontroller.

    Args:
        flash_bytes: int, the file without what it says of its tasks, as
            `tsn_keras.lite.export_c_array` writes it.
        arena_bytes: int or `None`, the smallest memory that the file runs in
            on this machine; `None` if `tflite_micro` is not installed, so
            that no file was run.
        largest_layer: int, bytes of the largest tensor of weights that is
            decoded into that memory.
        forms: dict of int by `bitmap`, `lookup` or `plain`, how many tensors of
            weights are stored in each form.
    """

    flash_bytes: int
    arena_bytes: int | None
    largest_layer: int
    forms: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Returns the same as JSON knows it."""
        return dataclasses.asdict(self)
