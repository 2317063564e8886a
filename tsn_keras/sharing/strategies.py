"""Which plane a task joins: the sharing strategies."""

import collections
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


@keras.saving.register_keras_serializable(package="tsn_keras")
class ActivationSimilarity(ComparesActivations):
    """Joins the plane of the most similar task, if it is similar enough.

    A sample of the new task's training data runs through the subnetwork of
    each earlier task. The distribution of every masked layer's activations
    is compared with the stored one of that task (`kl_divergence`). The plane
    of the nearest task is joined if its divergence is under `threshold`; the
    new task then starts as that task, shares all its slots and adds few own
    ones. Above `doubt` the task gets a plane of its own. A short training on
    either plane decides between `threshold` and `doubt`, and where the nearest
    task does not predict the new one's labels: classes of one data set look
    alike, and are not learned alike. The loss on held-out training data must
    be half that of an own plane, as an early lead shrinks. If that of sharing
    all kernels is not, a trial of sharing the first ones only follows. Data
    other than arrays and `tf.data` have no trial and get a plane of their own.

    A task uses all that its nearest task uses, so subnetworks grow from task
    to task, by frozen weights that were learned for ever more distant ones.
    Hence a plane takes a few tasks only. If the nearest one's is full, the
    nearest of those on planes with room is joined, if it is similar.

    Args:
        threshold: float, a divergence in nats a unit.
        sample_size: int, number of examples to look at.
        doubt: float, the divergence up to which a trial is worth its time;
            no trials at all if it is not above `threshold`.
        trial_steps: int, training steps of a trial on either plane.
        own_fraction: float in (0, 1], how much of the usual number of slots
            a task adds to those it shares.
        tasks_per_plane: int, how many tasks a plane takes.
        trial_depth: float in (0, 1], the part of the kernels, from the first
            on, that the second trial shares; 1 for no second trial.

    Example:

    >>> sharing = ActivationSimilarity(threshold=0.1)
    >>> sharing.choose({"a": 0, "b": 1}, {"a": 0.9, "b": 0.01}).plane
    1
    """

    def __init__(
        self,
        threshold: float = 0.1,
        sample_size: int = 512,
        doubt: float = 1.0,
        trial_steps: int = 200,
        own_fraction: float = 0.25,
        tasks_per_plane: int = 5,
        trial_depth: float = 0.5,
    ):
        super().__init__(threshold, sample_size)
        if not doubt >= 0.0:
            raise ValueError(
                "`doubt` must be a divergence of 0 or more. Received: "
                f"doubt={doubt}"
            )
        if trial_steps < 1:
            raise ValueError(
                "`trial_steps` must be at least 1; `doubt=0` switches trials "
                f"off. Received: trial_steps={trial_steps}"
            )
        if tasks_per_plane < 1:
            raise ValueError(
                "`tasks_per_plane` must be at least 1, which shares nothing. "
                f"Received: tasks_per_plane={tasks_per_plane}"
            )
        self.doubt = doubt
        self.trial_steps = trial_steps
        self.own_fraction = checked_part("own_fraction", own_fraction)
        self.tasks_per_plane = int(tasks_per_plane)
        self.trial_depth = checked_part("trial_depth", trial_depth)

    def choose(self, planes, divergences):
        if not divergences:
            return PlaneChoice(None, reason="first")
        limit = max(self.threshold, self.doubt)
        nearest = min(divergences, key=divergences.get)
        if not divergences[nearest] < limit:
            return PlaneChoice(
                None, nearest, divergences[nearest], reason="dissimilar"
            )
        counts = collections.Counter(planes.values())
        with_room = {
            name: divergence
            for name, divergence in divergences.items()
            if divergence < limit
            and counts[planes[name]] < self.tasks_per_plane
        }
        if not with_room:
            return PlaneChoice(
                None, nearest, divergences[nearest], reason="full"
            )
        nearest = min(with_room, key=with_room.get)
        divergence = with_room[nearest]
        similar = divergence < self.threshold
        tries = self.doubt > self.threshold
        return PlaneChoice(
            planes[nearest],
            nearest,
            divergence,
            own_fraction=self.own_fraction,
            trial_steps=self.trial_steps if tries else 0,
            trial_depth=self.trial_depth,
            reason="similar" if similar else "trial",
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "doubt": self.doubt,
            "trial_steps": self.trial_steps,
            "own_fraction": self.own_fraction,
            "tasks_per_plane": self.tasks_per_plane,
            "trial_depth": self.trial_depth,
        }


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
