"""What strategies have in common that compare activations."""

from typing import Any

from tsn_keras.sharing.strategies import Sharing


class ComparesActivations(Sharing):
    """Base class of strategies that look for tasks with similar activations.

    Args:
        threshold: float, a divergence in nats a unit.
        sample_size: int, number of examples to look at.
    """

    needs_statistics = True

    def __init__(self, threshold: float, sample_size: int):
        if not threshold >= 0.0:
            raise ValueError(
                "`threshold` must be a divergence of 0 or more. Received: "
                f"threshold={threshold}"
            )
        if sample_size < 2:
            raise ValueError(
                "`sample_size` must be at least 2. Received: "
                f"sample_size={sample_size}"
            )
        self.threshold = threshold
        self.sample_size = sample_size

    def get_config(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "sample_size": self.sample_size,
        }
