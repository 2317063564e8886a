"""Private variables at the fewest bits that validate."""

import math

import numpy as np

from tsn_keras.bank import PrivateCode
from tsn_keras.installed_quality import InstalledQuality
from tsn_keras.quantization import search_private_widths

# The part of the tolerance that storing private variables may cost. With all
# of it, bits are saved wherever the noise of the validation allows it.
TOLERANCE_SHARE = 0.25
# The part by which it may raise the loss, which decides in place of the quality
# where that would be less than one example, and so a matter of chance.
RAISED_LOSS = 0.02


class PrivateStorage:
    """Finds the smallest widths of private variables, and installs them.

    Args:
        quality: `InstalledQuality`.
        kernels: list of arrays, what the network computes with.
        tolerance: float, quality that consolidation may lose.
        num_examples: int, that validate it.
    """

    def __init__(
        self,
        quality: InstalledQuality,
        kernels: list[np.ndarray],
        tolerance: float,
        num_examples: int,
    ):
        self._quality = quality
        self._kernels = kernels
        self._allowed = TOLERANCE_SHARE * tolerance
        self._example = 1.0 / num_examples
        self._validated: dict[tuple[int, ...], tuple[float, float | None]] = {}

    def run(self, promised: float) -> list[PrivateCode]:
        """Returns the code of each private variable; they are installed.

        Args:
            promised: float, the quality that consolidation as a whole keeps.
                Where less than one example is allowed, one may be missed.
        """
        values = self._quality.private_values()
        before = self._quality(self._kernels)
        loss_before = self._quality.loss
        if self._allowed >= self._example or loss_before is None:
            codes = search_private_widths(
                values,
                lambda codes: self._validate(codes)[0],
                before - self._allowed,
            )
        else:
            # What is missed already cannot be kept.
            floor = promised - self._example if before >= promised else -np.inf

            def negative_loss(codes):
                found, loss = self._validate(codes)
                return -loss if found >= floor else -math.inf

            codes = search_private_widths(
                values,
                negative_loss,
                -loss_before - RAISED_LOSS * abs(loss_before),
            )
        self._quality.put_back(
            self._kernels, _decoded(codes), *self._validate(codes)
        )
        return codes

    def _validate(
        self, codes: list[PrivateCode]
    ) -> tuple[float, float | None]:
        """Validates each combination of widths once."""
        widths = tuple(code.width for code in codes)
        if widths not in self._validated:
            self._quality.install_private(_decoded(codes))
            found = self._quality(self._kernels)
            self._validated[widths] = found, self._quality.loss
        return self._validated[widths]


def _decoded(codes: list[PrivateCode]) -> list[np.ndarray]:
    return [code.decode() for code in codes]
