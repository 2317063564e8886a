"""The state of the task that is being learned."""

import dataclasses
import json
from typing import Any

from tsn_keras.pruning import Progress, TaskMask
from tsn_keras.sharing import PlaneChoice


@dataclasses.dataclass
class RunningTask:
    """A task between `add_task` and `consolidate`.

    Args:
        name: str.
        head: int, index of its head.
        keeps_head: bool, whether the head came with weights to start from.
        begun: bool, whether it has been trained.
        planes: tuple of int, for each kernel its plane; empty until it has
            begun.
        inherits: str or `None`, the earlier task whose slots it shares.
        choice: `PlaneChoice`, how its plane was found.
        fits: int, number of calls of `fit` so far.
        progress: `Progress` of the training.
        width: int, bits of the narrowest code.
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
    planes: tuple[int, ...] = ()
    inherits: str | None = None
    choice: PlaneChoice = PlaneChoice(None)
    fits: int = 0
    progress: Progress = dataclasses.field(default_factory=Progress)
    width: int = 32
    widths: list[int] = dataclasses.field(default_factory=list)
    masks: list[TaskMask] = dataclasses.field(default_factory=list)
    data: Any = None
    callbacks: list = dataclasses.field(default_factory=list)

    @property
    def num_joined(self) -> int:
        """How many kernels, from the first on, join an earlier task's."""
        return self.choice.num_joined(len(self.planes))

    def own_fraction(self, kernel: int) -> float:
        """Returns how much of the usual number of slots a kernel may own.

        Args:
            kernel: int.
        """
        joins = kernel < self.num_joined
        return self.choice.own_fraction if joins else 1.0

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
                "planes": self.planes,
                "inherits": self.inherits,
                "choice": dataclasses.asdict(self.choice),
                "fits": self.fits,
                "progress": dataclasses.asdict(self.progress),
                "width": self.width,
                "widths": self.widths,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "RunningTask":
        """Returns the task that `to_json` described, without its masks."""
        entries = json.loads(text)
        entries["progress"] = Progress(**entries["progress"])
        entries["choice"] = PlaneChoice(**entries["choice"])
        if "plane" in entries:
            # Once all kernels of a task were on one plane.
            del entries["own_fraction"]
            plane = entries.pop("plane")
            entries["planes"] = [plane] * len(entries["widths"])
        entries["planes"] = tuple(entries["planes"])
        return cls(**entries)
