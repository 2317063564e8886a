"""How many bits a task's weights take: the quantization strategies."""

import dataclasses
import math
from typing import Any

import keras

from tsn_keras.data import (
    check_integers,
    check_numbers,
    check_strings,
    check_tolerance,
)
from tsn_keras.quantization.codebook import FITS

MOST_TUNING_STEPS = 1000


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class AdaptiveCodebook:
    """Codes of as few bits as the validated quality allows.

    The widths of the kernels grow from `min_width` until the quality is so
    near that of the float32 weights that fine-tuning can bring it within
    `tolerance`. Only the task's own weights take part in the fit: zeros
    outside the mask and shared slots do not. Then the centroids and the
    private variables are fine-tuned with the codes fixed. If that is not
    enough, a kernel gets one bit more. Private variables are stored at the
    smallest width that costs at most a quarter of the tolerance.

    Args:
        tolerance: what the codes may cost, if less than their share of the
            model's `tolerance`.
        min_width: bits of the narrowest code, at least 1. By default 1, or 4
            where the validation examples are too few to search by.
        max_width: bits of the widest code, at most 8.
        codebook: `clustered` for optimal 1-D k-means centroids, or `linear`
            for evenly spaced ones, which integer kernels want.
        fine_tune_steps: training steps of centroids and private variables; 0
            for none. By default a twelfth of the steps that the task was
            trained for, and at most 1,000. Centroids of linear codebooks stay
            as they are; then only the private variables are fine-tuned.
        learning_rate: of the fine-tuning (Adam) at its start; it falls
            linearly to 0.

    Example:

    >>> AdaptiveCodebook(tolerance=0.01, max_width=4).max_width
    4
    """

    tolerance: float | None = None
    min_width: int | None = None
    max_width: int = 8
    codebook: str = "clustered"
    fine_tune_steps: int | None = None
    learning_rate: float = 1e-3

    def __post_init__(self):
        check_numbers(learning_rate=self.learning_rate)
        check_integers(min_width=self.min_width, or_none=True)
        check_integers(max_width=self.max_width)
        check_integers(fine_tune_steps=self.fine_tune_steps, or_none=True)
        check_strings(codebook=self.codebook)
        check_tolerance(self.tolerance, or_none=True)
        if not 1 <= self.narrowest <= self.max_width <= 8:
            raise ValueError(
                "Widths must satisfy 1 <= min_width <= max_width <= 8 bits. "
                f"Received: min_width={self.narrowest}, "
                f"max_width={self.max_width}"
            )
        if self.codebook not in FITS:
            raise ValueError(
                f"`codebook` must be one of {sorted(FITS)}. "
                f"Received: codebook='{self.codebook}'"
            )
        if self.fine_tune_steps is not None and self.fine_tune_steps < 0:
            raise ValueError(
                "`fine_tune_steps` must be 0 or more, or None. Received: "
                f"fine_tune_steps={self.fine_tune_steps}"
            )

        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(
                "`learning_rate` must be above 0 and finite. Received: "
                f"learning_rate={self.learning_rate}"
            )

    @property
    def narrowest(self) -> int:
        """The bits that every code has at least."""
        return 1 if self.min_width is None else self.min_width

    def tuning_steps(self, training_steps: int) -> int:
        """Returns for how many steps a task is fine-tuned."""
        if self.fine_tune_steps is not None:
            return self.fine_tune_steps
        return min(-(-training_steps // 12), MOST_TUNING_STEPS)

    def get_config(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AdaptiveCodebook":
        return cls(**config)
