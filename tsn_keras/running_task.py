"""The state of the task that is being learned."""

import dataclasses
import json
from typing import Any

from tsn_keras.pruning.schedule_callback import Progress
from tsn_keras.pruning.task_masks import TaskMask


@dataclasses.dataclass
class RunningTask:
    """A task between `add_task` and `consolidate`.

    Args:
        name: str.
        head: int, index of its head.
        keeps_head: bool, whether the head came with weights to start from.
        begun: bool, whether it has been trained.
        plane: int or `None`, its plane once it has begun.
        nearest: str or `None`, the most similar earlier task.
        divergence: float or `None`, that task's divergence.
        fits: int, number of calls of `fit` so far.
        progress: `Progress` of the training.
        widths: list of int, the widest code each kernel has room for.
        masks: list of `TaskMask`, one a kernel.
        data: the training data of the last `fit`, for fine-tuning; not
            saved.
        callbacks: the user's callbacks of the last `fit`; not saved.
    """

    name: str
    head: int
    keeps_head: bool = False
    begun: bool = False
    plane: int | None = None
    nearest: str | None = None
    divergence: float | None = None
    fits: int = 0
    progress: Progress = dataclasses.field(default_factory=Progress)
    widths: list[int] = dataclasses.field(default_factory=list)
    masks: list[TaskMask] = dataclasses.field(default_factory=list)
    data: Any = None
    callbacks: list = dataclasses.field(default_factory=list)

    def go_on_from(self, loaded: "RunningTask") -> None:
        """Takes over a saved state of this task; keeps data and callbacks.

        Callbacks that hold its masks and its progress follow.

        Args:
            loaded: `RunningTask` of the same name.
        """
        masks, progress = self.masks, self.progress
        data, callbacks = self.data, self.callbacks
        masks[:] = loaded.masks
        vars(progress).update(vars(loaded.progress))
        vars(self).update(vars(loaded))
        self.masks, self.progress = masks, progress
        self.data, self.callbacks = data, callbacks

    def to_json(self) -> str:
        """Returns everything that is neither array nor data."""
        return json.dumps(
            {
                "name": self.name,
                "head": self.head,
                "keeps_head": self.keeps_head,
                "begun": self.begun,
                "plane": self.plane,
                "nearest": self.nearest,
                "divergence": self.divergence,
                "fits": self.fits,
                "progress": dataclasses.asdict(self.progress),
                "widths": self.widths,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "RunningTask":
        """Returns the task that `to_json` described, without its masks."""
        entries = json.loads(text)
        entries["progress"] = Progress(**entries["progress"])
        return cls(**entries)
