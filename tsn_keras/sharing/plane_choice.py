"""What a sharing strategy decides: the plane of a task, and why."""

import dataclasses

from tsn_keras.data import check_numbers

REASONS = {
    "strategy": "the strategy leaves no choice",
    "first": "there is no earlier task to share with",
    "similar": "the activations are similar",
    "dissimilar": "the activations are too different",
    "full": "the planes of similar tasks are full",
    "trial": "a trial on held-out data decided",
    "warm": "a similar task's values are where it started",
    "untried": "in doubt, and the data cannot be split for a trial",
    "removed": "the task that decided it has been removed",
}


@dataclasses.dataclass(frozen=True)
class PlaneChoice:
    """The plane of a new task and how it was found.

    Args:
        plane: the plane to join; `None` opens a new one.
        nearest: the most similar earlier task. On its plane the new task uses
            all slots that this task uses.
        divergence: the KL divergence from the nearest task.
        own_fraction: how much of the usual number of slots a task that joins
            a plane may add.
        depth: in (0, 1], the part of the kernels, from the first on, that
            join the plane. The others lie on a new plane.
        trial_steps: if this is not 0, the choice may be in doubt: a trial of
            so many training steps decides between the plane and a new one.
        trial_depth: in (0, 1], the depth to try if sharing all kernels is not
            good enough.
        reason: one of `REASONS`.
        losses: the held-out losses of a trial, with sharing and on a plane of
            its own.
        warm_start: how much of the nearest task's values a task on a new
            plane starts with; the rest is newly initialized.
    """

    plane: int | None
    nearest: str | None = None
    divergence: float | None = None
    own_fraction: float = 1.0
    depth: float = 1.0
    trial_steps: int = 0
    trial_depth: float = 1.0
    reason: str = "strategy"
    losses: tuple[float, float] | None = None
    warm_start: float = 0.0

    def __post_init__(self):
        if self.reason not in REASONS:
            raise ValueError(
                f"`reason` must be one of {list(REASONS)}. Received: "
                f"reason={self.reason!r}"
            )
        check_numbers(depth=self.depth, trial_depth=self.trial_depth)
        for name in ("depth", "trial_depth"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(
                    f"`{name}` must be in (0, 1], a part of the kernels from "
                    f"the first on. Received: {name}={getattr(self, name)}"
                )

    @property
    def doubtful(self) -> bool:
        """Whether a trial must decide."""
        return self.plane is not None and self.trial_steps > 0

    def num_joined(self, num_kernels: int) -> int:
        """Returns how many of a network's kernels join the plane.

        Example:

        >>> PlaneChoice(0, "a", depth=0.5).num_joined(6)
        3
        """
        if self.plane is None:
            return 0
        return max(1, round(self.depth * num_kernels))
