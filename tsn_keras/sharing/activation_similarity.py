"""Tasks that join the plane of a similar one."""

import collections
from typing import Any

import keras

from tsn_keras.sharing.compared_activations import ComparesActivations
from tsn_keras.sharing.plane_choice import PlaneChoice
from tsn_keras.sharing.strategies import checked_part


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
