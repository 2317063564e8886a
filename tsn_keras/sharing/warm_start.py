"""Tasks that start from the values of a similar one, and own all."""

from typing import Any

import keras

from tsn_keras.sharing.compared_activations import ComparesActivations
from tsn_keras.sharing.plane_choice import PlaneChoice
from tsn_keras.sharing.strategies import checked_part


@keras.saving.register_keras_serializable(package="tsn_keras")
class WarmStart(ComparesActivations):
    """Starts a task from the values of its most similar task, and owns all.

    Every task has a plane of its own. If the divergence of the nearest task
    (as for `ActivationSimilarity`) is under `threshold`, training starts from
    its private variables and from its kernels, which hold zeros in the slots
    that it does not use, shrunk and mixed with newly initialized ones:

    `start = shrink * nearest + (1 - shrink) * fresh`

    Nothing is shared: a task gains from what was learned before and is not
    bound to it, and its mask takes fewer bytes where it keeps to that of the
    nearest task. Networks that start as another one, without shrinking, learn
    faster and generalize worse (Ash and Adams, "On warm-starting neural network
    training", 2020). That was not so on Split CIFAR-100 with dropout, where
    tasks with `shrink=1.0` were no worse than new ones on average.

    Args:
        threshold: float, a divergence in nats a unit.
        sample_size: int, number of examples to look at.
        shrink: float in (0, 1], how much of the nearest task's values is left.
        latest: bool, whether to start from the latest task under `threshold`
            in place of the nearest one: it started from an earlier one itself,
            and has something of all. The report names it as `nearest`.

    Example:

    >>> choice = WarmStart(threshold=1.0).choose({"a": 0}, {"a": 0.3})
    >>> choice.plane is None, choice.nearest, choice.warm_start
    (True, 'a', 0.3)
    """

    def __init__(
        self,
        threshold: float = 1.0,
        sample_size: int = 512,
        shrink: float = 0.3,
        latest: bool = False,
    ):
        super().__init__(threshold, sample_size)
        self.shrink = checked_part("shrink", shrink)
        self.latest = bool(latest)

    def choose(self, planes, divergences):
        if not divergences:
            return PlaneChoice(None, reason="first")
        nearest = min(divergences, key=divergences.get)
        similar = [
            name for name in divergences if divergences[name] < self.threshold
        ]
        if self.latest and similar:
            nearest = similar[-1]
        divergence = divergences[nearest]
        warm = divergence < self.threshold
        return PlaneChoice(
            None,
            nearest,
            divergence,
            reason="warm" if warm else "dissimilar",
            warm_start=self.shrink if warm else 0.0,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "shrink": self.shrink,
            "latest": self.latest,
        }
