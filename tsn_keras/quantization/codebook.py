"""The codes and centroids of one kernel."""

import dataclasses

import numpy as np

from tsn_keras.data import check_integers
from tsn_keras.quantization.clustering import cluster_values, linear_values

FITS = {"clustered": cluster_values, "linear": linear_values}


@dataclasses.dataclass(frozen=True)
class Codebook:
    """A task's own weights of one kernel, quantized.

    Args:
        width: bits a code.
        centroids: float32 array of at most `2 ** width` values.
        codes: uint8 array, one code for each own slot in flat order.
    """

    width: int
    centroids: np.ndarray
    codes: np.ndarray

    @classmethod
    def fit(
        cls, values: np.ndarray, width: int, kind: str = "clustered"
    ) -> "Codebook":
        """Fits a codebook to the values of a task's own slots.

        The kinds are `clustered` (optimal 1-D k-means) and `linear`.
        """
        values = np.asarray(values)
        check_integers(lowest=1, width=width)
        if kind not in FITS:
            raise ValueError(
                f"`kind` must be one of {sorted(FITS)}. Received: kind={kind!r}"
            )
        if values.dtype.kind not in "fiu":
            raise TypeError(
                "`values` must be an array of real numbers. Received: dtype "
                f"{values.dtype}"
            )
        if not values.size:
            return cls(width, np.zeros(0, np.float32), np.zeros(0, np.uint8))
        centroids, codes = FITS[kind](values, 2**width)
        return cls(width, centroids, codes)

    def values(self) -> np.ndarray:
        """Returns the quantized weights in flat order."""
        return self.centroids[self.codes]

    def subset(self, kept: np.ndarray) -> "Codebook":
        """Returns the codebook of those weights whose code is kept."""
        return dataclasses.replace(self, codes=self.codes[kept])

    def place(self, kernel: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Returns a kernel with the quantized weights in the own slots."""
        placed = kernel.copy()
        placed[own] = self.values()
        return placed
