"""The state of the task that is being learned."""

import dataclasses
import json
from typing import Any

from tsn_keras.pruning import Progress, TaskMask
from tsn_keras.sharing import PlaneChoice
from tsn_keras.tasks.snapshot import Snapshot

# Fields that are arrays, or that are not saved.
_NOT_IN_JSON = ("masks", "data", "callbacks", "untrained_backbone")


@dataclasses.dataclass
class RunningTask:
    """A task between `add_task` and `consolidate`.

    Args:
        head: Index of its head.
        keeps_head: Whether the head came with weights to start from.
        class_names: Of the head's outputs, if they are known.
        planes: The plane of each kernel; empty until the task has begun.
        inherits: The earlier task whose slots it shares, if any.
        width: Bits of the narrowest code.
        widths: The widest code that each kernel has room for.
        learning_rate: The highest number that a call of `fit` began with, if
            it was one.
        data: The `TrainingData` of the last `fit`, for fine-tuning; not saved.
        callbacks: The user's callbacks of the last `fit`; not saved.
        untrained_backbone: The weights that the backbone had before its first
            task; not saved.
    """

    name: str
    head: int
    keeps_head: bool = False
    class_names: list[str] | None = None
    begun: bool = False
    planes: tuple[int, ...] = ()
    inherits: str | None = None
    choice: PlaneChoice = PlaneChoice(None)
    fits: int = 0
    progress: Progress = dataclasses.field(default_factory=Progress)
    width: int = 32
    widths: list[int] = dataclasses.field(default_factory=list)
    masks: list[TaskMask] = dataclasses.field(default_factory=list)
    learning_rate: float | None = None
    data: Any = None
    callbacks: list = dataclasses.field(default_factory=list)
    untrained_backbone: Snapshot | None = None

    @property
    def num_joined(self) -> int:
        """How many kernels, from the first on, join an earlier task's."""
        return self.choice.num_joined(len(self.planes))

    def own_fraction(self, kernel: int) -> float:
        """Returns the part of the usual number of slots a kernel may own."""
        joins = kernel < self.num_joined
        return self.choice.own_fraction if joins else 1.0

    def take_planes(
        self, choice: PlaneChoice, planes: tuple[int, ...], inherits: str | None
    ) -> None:
        """Puts the task on the planes that were chosen for it."""
        self.choice, self.planes, self.inherits = choice, planes, inherits

    def take_room(
        self, width: int, widths: list[int], masks: list[TaskMask]
    ) -> None:
        """Gives the task its masks, and the widths that they have room for."""
        self.width, self.widths, self.masks = width, widths, masks

    def take_masks(self, masks: list[TaskMask]) -> None:
        """Gives the task the masks that were saved with it."""
        self.masks = masks

    def keep_backbone(self, untrained: Snapshot) -> None:
        """Keeps the weights that the backbone had before its first task."""
        self.untrained_backbone = untrained

    def begin(self) -> None:
        """Notes that the task is ready to be trained."""
        self.begun = True

    def begin_fit(
        self, data: Any, callbacks: list, learning_rate: float | None
    ) -> None:
        """Notes what a call of `fit` trains with."""
        self.fits += 1
        self.callbacks = callbacks
        self.take_data(data)
        if learning_rate is not None:
            self.learning_rate = max(learning_rate, self.learning_rate or 0.0)

    def take_data(self, data: Any) -> None:
        """Notes the data that the task is trained with, to use them again."""
        self.data = data

    def copy(self) -> "RunningTask":
        """Returns the state as it is now; masks and data are shared."""
        progress = dataclasses.replace(self.progress)
        return dataclasses.replace(self, progress=progress)

    def go_back_to(self, before: "RunningTask") -> None:
        """Takes over all of an earlier copy of this task."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(before, field.name))

    def go_on_from(self, loaded: "RunningTask") -> None:
        """Takes over a saved state of this task; keeps data and callbacks.

        Callbacks that hold its masks and its progress follow.
        """
        masks, progress = self.masks, self.progress
        masks[:] = loaded.masks
        progress.go_on_from(loaded.progress)
        data, callbacks = self.data, self.callbacks
        self.go_back_to(loaded)
        self.masks, self.progress = masks, progress
        self.data, self.callbacks = data, callbacks

    def to_json(self) -> str:
        """Returns everything that is neither array nor data."""
        names = (field.name for field in dataclasses.fields(self))
        entries = {n: getattr(self, n) for n in names if n not in _NOT_IN_JSON}
        return json.dumps(entries, default=dataclasses.asdict)

    @classmethod
    def from_json(cls, text: str) -> "RunningTask":
        """Returns the task that `to_json` described, without its masks."""
        entries = json.loads(text)
        entries["progress"] = Progress(**entries["progress"])
        entries["choice"] = PlaneChoice(**entries["choice"])
        entries["planes"] = tuple(entries["planes"])
        return cls(**entries)
