"""Which plane a task joins: the sharing strategies."""

import dataclasses
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class PlaneChoice:
    """The plane of a new task and how it was found.

    Args:
        plane: int or `None`; `None` opens a new plane.
        nearest: str or `None`, the most similar earlier task.
        divergence: float or `None`, its KL divergence.
    """

    plane: int | None
    nearest: str | None = None
    divergence: float | None = None


class Sharing:
    """Base class of the sharing strategies."""

    needs_statistics = False

    def choose(
        self, planes: dict[str, int], divergences: dict[str, float]
    ) -> PlaneChoice:
        """Chooses the plane of a new task.

        Args:
            planes: dict, the plane of every earlier task, in order.
            divergences: dict, the KL divergence of the new task's
                activations from those of every earlier task; empty unless
                the strategy needs statistics.

        Returns:
            A `PlaneChoice`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Sharing":
        return cls(**config)


@keras.saving.register_keras_serializable(package="tsn_keras")
class Never(Sharing):
    """Opens a new plane for every task.

    Example:

    >>> Never().choose({"a": 0}, {}).plane is None
    True
    """

    def choose(self, planes, divergences):
        return PlaneChoice(None)


@keras.saving.register_keras_serializable(package="tsn_keras")
class Always(Sharing):
    """Puts every task on the plane of the task before it.

    Example:

    >>> Always().choose({"a": 0, "b": 0}, {}).plane
    0
    """

    def choose(self, planes, divergences):
        if not planes:
            return PlaneChoice(None)
        nearest = list(planes)[-1]
        return PlaneChoice(planes[nearest], nearest)


@keras.saving.register_keras_serializable(package="tsn_keras")
class ActivationSimilarity(Sharing):
    """Joins the plane of the most similar task, if it is similar enough.

    A sample of the new task's training data runs through the subnetwork of
    each earlier task. The distribution of every masked layer's activations
    is compared with the stored one of that task (`kl_divergence`); the plane
    of the nearest task is joined if its divergence is under `threshold`.

    Args:
        threshold: float, a divergence in nats a unit.
        sample_size: int, number of examples to look at.

    Example:

    >>> sharing = ActivationSimilarity(threshold=0.1)
    >>> sharing.choose({"a": 0, "b": 1}, {"a": 0.9, "b": 0.01}).plane
    1
    """

    needs_statistics = True

    def __init__(self, threshold: float = 0.1, sample_size: int = 512):
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

    def choose(self, planes, divergences):
        if not divergences:
            return PlaneChoice(None)
        nearest = min(divergences, key=divergences.get)
        divergence = divergences[nearest]
        joined = planes[nearest] if divergence < self.threshold else None
        return PlaneChoice(joined, nearest, divergence)

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "sample_size": self.sample_size}
