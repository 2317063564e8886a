"""Which plane a task joins: the base of the strategies, and simple ones."""

from typing import Any

import keras

from tsn_keras.sharing.plane_choice import PlaneChoice

PARTS = {
    "own_fraction": "a share of the usual number of own slots",
    "depth": "the part of the kernels, from the first on, to share",
    "trial_depth": "the part of the kernels that a second trial shares",
    "shrink": "the part of the nearest task's values to start with",
}


def checked_part(name: str, value: float) -> float:
    """Returns a part of a whole, if it is one.

    Args:
        name: str, one of `PARTS`.
        value: float.

    Raises:
        ValueError: If it is not in (0, 1].
    """
    if not 0.0 < value <= 1.0:
        raise ValueError(
            f"`{name}` must be in (0, 1], {PARTS[name]}. Received: "
            f"{name}={value}"
        )
    return float(value)


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
    """Lets every task share all slots of the task before it.

    Args:
        own_fraction: float in (0, 1], how much of the usual number of slots
            a task adds to those it shares.
        depth: float in (0, 1], the part of the kernels, from the first on,
            that are shared. The others are the task's own: features that
            are general are reused, and what they are used for is learned.

    Example:

    >>> Always().choose({"a": 0, "b": 0}, {}).plane
    0
    """

    def __init__(self, own_fraction: float = 0.25, depth: float = 1.0):
        self.own_fraction = checked_part("own_fraction", own_fraction)
        self.depth = checked_part("depth", depth)

    def choose(self, planes, divergences):
        if not planes:
            return PlaneChoice(None, reason="first")
        nearest = list(planes)[-1]
        return PlaneChoice(
            planes[nearest],
            nearest,
            own_fraction=self.own_fraction,
            depth=self.depth,
        )

    def get_config(self) -> dict[str, Any]:
        return {"own_fraction": self.own_fraction, "depth": self.depth}
