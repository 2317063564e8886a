"""What a sharing strategy decides: the plane of a task, and why."""

import dataclasses

REASONS = {
    "strategy": "the strategy leaves no choice",
    "first": "there is no earlier task to share with",
    "similar": "the activations are similar",
    "dissimilar": "the activations are too different",
    "full": "the planes of similar tasks are full",
    "trial": "a trial on held-out data decided",
    "warm": "the nearest task's values are where it started",
    "untried": "in doubt, and the data cannot be split for a trial",
}


@dataclasses.dataclass(frozen=True)
class PlaneChoice:
    """The plane of a new task and how it was found.

    Args:
        plane: int or `None`; `None` opens a new plane.
        nearest: str or `None`, the most similar earlier task. On its plane
            the new task uses all slots that it uses.
        divergence: float or `None`, its KL divergence.
        own_fraction: float, how much of the usual number of slots a task
            that joins a plane may add.
        trial_steps: int. If not 0 the choice may be in doubt, and a trial of
            so many training steps decides between the plane and a new one.
        reason: str, one of `REASONS`.
        losses: tuple of two floats or `None`, the held-out losses of a trial
            on the joined and on a new plane.
        warm_start: float, how much of the nearest task's values a task on a
            new plane starts with; the rest is newly initialized.
    """

    plane: int | None
    nearest: str | None = None
    divergence: float | None = None
    own_fraction: float = 1.0
    trial_steps: int = 0
    reason: str = "strategy"
    losses: tuple[float, float] | None = None
    warm_start: float = 0.0

    @property
    def doubtful(self) -> bool:
        return self.plane is not None and self.trial_steps > 0
