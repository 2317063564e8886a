"""The quality of what is installed, validated once."""

import numpy as np

from tsn_keras.installation import Installation
from tsn_keras.validation import Validation


class InstalledQuality:
    """Installs what consolidation tries, and validates it if it is new.

    What is the same as before, to the bit, is not installed again; and where
    nothing is installed anew, the quality is known.

    Args:
        installation: `Installation` with the task at work.
        validation: `Validation`, which has validated that task as it is.
        kernels: list of arrays, what the network computes with so far.
    """

    def __init__(
        self,
        installation: Installation,
        validation: Validation,
        kernels: list[np.ndarray],
    ):
        self._installation = installation
        self._validation = validation
        self._installed: list = [None] * len(kernels)
        self._install(kernels)
        # `None` where what is installed has not been validated yet.
        self._known: float | None = validation.initial

    @property
    def loss(self) -> float | None:
        """The loss that was validated with the last quality."""
        return self._validation.loss

    def __call__(self, kernels: list[np.ndarray]) -> float:
        """Returns the quality with these kernels; higher is better."""
        self._install(kernels)
        if self._known is None:
            self._known = self._validation.quality()
        return self._known

    def forget(self) -> None:
        """To be called when private variables were changed elsewhere."""
        self._known = None

    def private_values(self) -> list[np.ndarray]:
        """Returns the private variables that are installed."""
        return self._installation.private_values()

    def install_private(self, values: list[np.ndarray]) -> None:
        """Installs other private variables."""
        self._installation.install_private(values)
        self._known = None

    def put_back(
        self,
        kernels: list[np.ndarray],
        private: list[np.ndarray],
        quality: float,
        loss: float | None,
    ) -> None:
        """Installs what was validated before, with what was found then."""
        self.install_private(private)
        self._install(kernels)
        self._known, self._validation.loss = quality, loss

    def _install(self, kernels: list[np.ndarray]) -> None:
        for index, kernel in enumerate(kernels):
            before = self._installed[index]
            if before is None or not _same_bits(kernel, before):
                installed = self._installation.kernels[index]
                installed.install(kernel, is_stored=before is not None)
                self._installed[index] = kernel
                self._known = None


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    if one is other or one.dtype != other.dtype:
        return one is other
    bits = f"u{one.itemsize}"
    return np.array_equal(one.view(bits), other.view(bits))
