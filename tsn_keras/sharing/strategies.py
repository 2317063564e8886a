"""Which plane a task joins: the sharing strategies."""

import abc
import collections
import dataclasses
from typing import Any

import keras

from tsn_keras.data import check_flags, check_integers, check_numbers
from tsn_keras.sharing.plane_choice import PlaneChoice

PARTS = {
    "own_fraction": "a share of the usual number of own slots",
    "depth": "the part of the kernels, from the first on, to share",
    "trial_depth": "the part of the kernels that a second trial shares",
    "shrink": "the part of the nearest task's values to start with",
}


def checked_part(name: str, value: float) -> float:
    """Returns a value that must be in (0, 1]; its name is one of `PARTS`."""
    check_numbers(**{name: value})
    if not 0.0 < value <= 1.0:
        raise ValueError(
            f"`{name}` must be in (0, 1], {PARTS[name]}. Received: "
            f"{name}={value}"
        )
    return float(value)


@dataclasses.dataclass(eq=False)
class Sharing(abc.ABC):
    """Base class of the sharing strategies.

    Attributes:
        needs_statistics: Whether `choose` is given divergences.
        candidates: From how many earlier tasks at most; `None` for all.
    """

    needs_statistics = False
    candidates = None

    @abc.abstractmethod
    def choose(
        self, planes: dict[str, int], divergences: dict[str, float]
    ) -> PlaneChoice:
        """Chooses the plane of a new task.

        Args:
            planes: the plane of every earlier task, in order.
            divergences: the KL divergence of the new task's activations from
                those of every earlier task, or of `candidates` of them, in
                order; empty if `needs_statistics` is `False`.
        """

    def get_config(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

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
@dataclasses.dataclass(eq=False)
class Always(Sharing):
    """Lets every task share all slots of the task before it.

    Args:
        own_fraction: in (0, 1], how much of the usual number of slots a task
            adds to those it shares.
        depth: in (0, 1], the part of the kernels, from the first on, that are
            shared. The others are the task's own: it reuses general features
            and learns what to use them for.

    Example:

    >>> Always().choose({"a": 0, "b": 0}, {}).plane
    0
    """

    own_fraction: float = 0.25
    depth: float = 1.0

    def __post_init__(self):
        self.own_fraction = checked_part("own_fraction", self.own_fraction)
        self.depth = checked_part("depth", self.depth)

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


def _check_comparison(
    threshold: float, sample_size: int, candidates: int | None
) -> None:
    check_numbers(threshold=threshold)
    check_integers(sample_size=sample_size)
    if candidates is not None:
        check_integers(candidates=candidates)
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
    if candidates is not None and not candidates >= 1:
        raise ValueError(
            "`candidates` must be at least 1, or None to compare all earlier "
            f"tasks. Received: candidates={candidates}"
        )


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class ActivationSimilarity(Sharing):
    """Joins the plane of the most similar task, if it is similar enough.

    A sample of the new task's training data runs through the subnetwork of
    each earlier task, of `candidates` of them at most (`sharing.compare`). The
    distribution of every masked layer's activations is compared with the
    stored one of that task (`kl_divergence`). The plane of the nearest task is
    joined if its divergence is under `threshold`. The new task then starts as
    that task, shares all its slots and adds few own ones. Above `doubt` the
    task gets a plane of its own.

    Between `threshold` and `doubt` there is a trial: a short training on that
    plane and on a new one. There is one, too, if the nearest task does not
    predict the new one's labels about as well as its own, since classes of one
    data set look alike and are not learned alike. An early lead shrinks. So the
    loss on held-out training data must be half of that on the new plane. If it
    is not, a second trial shares only the first kernels. Only arrays and
    `tf.data` can be split for a trial; with other data a task in doubt gets a
    plane of its own.

    A task uses all that its nearest task uses. So subnetworks grow from task to
    task by frozen weights, learned for ever more distant tasks. A plane
    therefore takes only a few tasks. If the plane of the nearest task is full,
    the task joins the nearest one on a plane with room, if that is similar.

    Args:
        threshold: a divergence in nats a unit.
        sample_size: number of examples to look at.
        doubt: the divergence up to which a trial is worth its time. If it is
            not above `threshold`, there are no trials.
        trial_steps: training steps of a trial on either plane.
        own_fraction: in (0, 1], how much of the usual number of slots a task
            adds to those it shares.
        tasks_per_plane: how many tasks a plane takes.
        trial_depth: in (0, 1], the part of the kernels, from the first on,
            that the second trial shares; 1 for no second trial.
        candidates: how many earlier tasks to compare at most, `None` for all.
            With more tasks, the nearest of all may be missed.

    Example:

    >>> sharing = ActivationSimilarity(threshold=0.1)
    >>> sharing.choose({"a": 0, "b": 1}, {"a": 0.9, "b": 0.01}).plane
    1
    """

    needs_statistics = True

    threshold: float = 0.1
    sample_size: int = 512
    doubt: float = 1.0
    trial_steps: int = 200
    own_fraction: float = 0.25
    tasks_per_plane: int = 5
    trial_depth: float = 0.5
    candidates: int | None = 32

    def __post_init__(self):
        _check_comparison(self.threshold, self.sample_size, self.candidates)
        check_numbers(doubt=self.doubt)
        check_integers(
            trial_steps=self.trial_steps, tasks_per_plane=self.tasks_per_plane
        )
        if not self.doubt >= 0.0:
            raise ValueError(
                "`doubt` must be a divergence of 0 or more. Received: "
                f"doubt={self.doubt}"
            )
        if self.trial_steps < 1:
            raise ValueError(
                "`trial_steps` must be at least 1; `doubt=0` switches trials "
                f"off. Received: trial_steps={self.trial_steps}"
            )
        if self.tasks_per_plane < 1:
            raise ValueError(
                "`tasks_per_plane` must be at least 1, which shares nothing. "
                f"Received: tasks_per_plane={self.tasks_per_plane}"
            )
        self.own_fraction = checked_part("own_fraction", self.own_fraction)
        self.tasks_per_plane = int(self.tasks_per_plane)
        self.trial_depth = checked_part("trial_depth", self.trial_depth)

    def choose(self, planes, divergences):
        if not divergences:
            return PlaneChoice(None, reason="first")
        limit = max(self.threshold, self.doubt)
        nearest = min(divergences, key=divergences.get)
        divergence = divergences[nearest]
        # A NaN is not near, either.
        if not divergence < limit:
            return PlaneChoice(None, nearest, divergence, reason="dissimilar")
        counts = collections.Counter(planes.values())
        with_room = {
            name: value
            for name, value in divergences.items()
            if value < limit and counts[planes[name]] < self.tasks_per_plane
        }
        if not with_room:
            return PlaneChoice(None, nearest, divergence, reason="full")
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


@keras.saving.register_keras_serializable(package="tsn_keras")
@dataclasses.dataclass(eq=False)
class WarmStart(Sharing):
    """Starts a task from the values of its most similar task, without sharing.

    Every task has a plane of its own. If the divergence of the nearest task
    (as for `ActivationSimilarity`) is under `threshold`, training starts from
    its private variables and kernels, shrunk and mixed with newly initialized
    values. The kernels hold zeros in slots that the nearest task does not use.

    `start = shrink * nearest + (1 - shrink) * fresh`

    Nothing is shared: a task gains from what was learned before and is not
    bound to it. Its mask takes fewer bytes where it equals that of the nearest
    task. Networks that start as another one, without shrinking, learn faster
    and generalize worse (Ash and Adams, "On warm-starting neural network
    training", 2020). On Split CIFAR-100 with dropout this was not so: tasks
    with `shrink=1.0` were on average no worse than new ones.

    Args:
        threshold: a divergence in nats a unit.
        sample_size: number of examples to look at.
        shrink: in (0, 1], how much of the nearest task's values is left.
        latest: whether to start from the latest task under `threshold`
            instead of the nearest one. The latest started from an earlier one
            itself and has something of all. The report calls it `nearest`.
        candidates: as of `ActivationSimilarity`.

    Example:

    >>> choice = WarmStart(threshold=1.0).choose({"a": 0}, {"a": 0.3})
    >>> choice.plane is None, choice.nearest, choice.warm_start
    (True, 'a', 0.3)
    """

    needs_statistics = True

    threshold: float = 1.0
    sample_size: int = 512
    shrink: float = 0.3
    latest: bool = False
    candidates: int | None = 32

    def __post_init__(self):
        _check_comparison(self.threshold, self.sample_size, self.candidates)
        self.shrink = checked_part("shrink", self.shrink)
        check_flags(latest=self.latest)

    def choose(self, planes, divergences):
        if not divergences:
            return PlaneChoice(None, reason="first")
        nearest = min(divergences, key=divergences.get)
        similar = [n for n, d in divergences.items() if d < self.threshold]
        if self.latest and similar:
            nearest = similar[-1]
        divergence = divergences[nearest]
        if not divergence < self.threshold:
            return PlaneChoice(None, nearest, divergence, reason="dissimilar")
        return PlaneChoice(
            None, nearest, divergence, reason="warm", warm_start=self.shrink
        )
