"""What a file of microcontrollers says of its tasks."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from tsn_keras.lite.files.flatbuffer import FlatModel
from tsn_keras.lite.files.standard_metadata import (
    Network,
    Part,
    Tensor,
    read_part,
    with_metadata,
)
from tsn_keras.lite.micro.task_choice import INPUTS, OUTPUTS, TASK

# Where a file of one task, or of several, has its JSON text.
ONE, SEVERAL = "task.json", "tasks.json"


@dataclasses.dataclass(frozen=True)
class MicroTask:
    """A task of a file, as firmware has to know it.

    A number `x` is stored as `round(x / scale) + zero`.

    Args:
        classes: int, how many numbers of the output are the task's.
        input_scale: `(scale, zero)`, or `None` for integers as they are.
        output_scale: `(scale, zero)`, or `None`.
    """

    name: str
    classes: int
    input_scale: tuple[float, int] | None
    output_scale: tuple[float, int] | None
    class_names: list[str] | None = None

    @classmethod
    def of_file(
        cls, name: str, model: FlatModel, class_names: list[str] | None = None
    ) -> "MicroTask":
        """Returns the task of a file of one graph."""
        graph = model.graphs[0]
        output = graph.outputs[0]
        return cls(
            name,
            int(graph.tensors[output].shape[-1]),
            graph.scale(graph.inputs[0]),
            graph.scale(output),
            class_names,
        )


def with_tasks(content: bytes, tasks: Sequence[MicroTask], name: str) -> bytes:
    """Returns a file of several tasks that tells of them.

    Args:
        name: str, the model's.
    """
    text = json.dumps({"tasks": [dataclasses.asdict(task) for task in tasks]})
    names = ", ".join(f"{n}: '{task.name}'" for n, task in enumerate(tasks))
    network = Network(
        name=name,
        description="Several tasks for microcontrollers, made with tsn_keras.",
        inputs=[
            Tensor(TASK, f"The number of the task. {names}"),
            Tensor(INPUTS, "Input, with the scale of the task."),
        ],
        outputs=[Tensor(OUTPUTS, "Output, one number for each class.")],
        parts=[Part(SEVERAL, "The tasks in JSON.", text.encode())],
    )
    return with_metadata(content, network, join=True)


def takes_task(content: bytes) -> bool:
    """Tells whether a file takes the number of a task."""
    return read_part(content, SEVERAL) is not None


def read_tasks(content: bytes, name: str) -> list[MicroTask]:
    """Returns the tasks of a file.

    Args:
        name: str, of the task of a file that says nothing.
    """
    several = read_part(content, SEVERAL)
    if several is not None:
        return [MicroTask(**entry) for entry in json.loads(several)["tasks"]]
    one: dict[str, Any] = json.loads(read_part(content, ONE) or "{}")
    model = FlatModel.from_bytes(content)
    name, classes = one.get("task", name), one.get("class_names")
    return [MicroTask.of_file(name, model, classes)]
