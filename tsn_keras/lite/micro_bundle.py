"""Exports all tasks of a model in one file for microcontrollers."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tsn_keras.data import check_flags
from tsn_keras.files import complete_file
from tsn_keras.lite import checks
from tsn_keras.lite import samples as sampling
from tsn_keras.lite.files.flatbuffer import FlatModel
from tsn_keras.lite.micro.decode_operators import (
    DecodedFile,
    packed,
    with_decoded_weights,
)
from tsn_keras.lite.micro.figures import MicroFigures
from tsn_keras.lite.micro.task_choice import with_task_choice
from tsn_keras.lite.micro.tasks import MicroTask, with_tasks
from tsn_keras.lite.micro.weight_forms import FORMS, check_forms
from tsn_keras.lite.microcontroller import (
    check_micro_arguments,
    check_microcontroller,
    figures_of,
)
from tsn_keras.lite.networks.float32 import check_alike, in_float32
from tsn_keras.lite.networks.run_with_values import task_values
from tsn_keras.lite.precision import get_precision
from tsn_keras.lite.task_file import dense_bytes, task_content
from tsn_keras.lite.verification import (
    Agreement,
    Arrays,
    model_outputs,
    verify_content,
    verify_micro,
)
from tsn_keras.tables import Column, Table, Tabular

PRECISION = "int8"


@dataclasses.dataclass(frozen=True)
class MicroReport(Tabular):
    """What was exported, and how each task compares with the model.

    Printed, it is a short table, and so at the end of a notebook's cell.
    `equal` is the fraction of equal predictions.

    Args:
        bytes: int, the size of the file with what it says of its tasks.
        dense_bytes: int, the size of the file of ONE dense float32 network,
            with the head of the first task.
        plain_bytes: int, of the int8 files of all tasks that store every
            weight.
        figures: `tsn_keras.lite.MicroFigures`.
        samples: dict of str by task, what it was verified with, as in
            `tsn_keras.lite.BundleReport`.
    """

    path: pathlib.Path
    bytes: int
    dense_bytes: int
    plain_bytes: int
    tasks: tuple[str, ...]
    figures: MicroFigures
    agreements: dict[str, Agreement]
    samples: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON knows: all but the logits."""
        agreements = self.agreements.items()
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "dense_bytes": self.dense_bytes,
            "plain_bytes": self.plain_bytes,
            "tasks": list(self.tasks),
            **self.figures.to_dict(),
            "agreements": {task: each.to_dict() for task, each in agreements},
            "samples": dict(self.samples),
        }

    def _table(self) -> Table:
        rows = [
            (task, each.agreement, each.largest_difference)
            for task, each in self.agreements.items()
        ]
        forms = {"task": "", "equal": ".1%", "difference": ".1e"}
        arena = self.figures.arena_bytes
        memory = "not measured" if arena is None else f"{arena:,} bytes"
        title = (
            f"{self.path.name}: {self.figures.flash_bytes:,} bytes of flash, "
            f"{self.fraction:.1%} of ONE dense network's {self.dense_bytes:,}, "
            f"memory {memory}, {len(rows)} tasks"
        )
        return Table([Column(*each) for each in forms.items()], rows, title)

    @property
    def fraction(self) -> float:
        """What goes into flash, of the file of the dense network."""
        return self.figures.flash_bytes / self.dense_bytes


@dataclasses.dataclass(frozen=True)
class _Task:
    """A task on its way into a file."""

    plain: bytes
    decoded: DecodedFile
    about: MicroTask
    expected: Arrays
    samples: sampling.Samples
    agreement: Agreement


def export_micro_bundle(
    model: Any,
    path: str | os.PathLike,
    tasks: Sequence[str] | None = None,
    representative_data: Any = None,
    verification_data: dict[str, Any] | None = None,
    min_agreement: float = 0.9,
    remove_dead_units: bool = True,
    max_arena: int | None = None,
    forms: Sequence[str] = FORMS,
) -> MicroReport:
    """Exports several tasks in one int8 file for microcontrollers.

    The file takes two inputs: `task`, the number of a task in an int32 array
    of one element, and `inputs`, one example of it in int8. Its weights are
    stored as bitmaps and values or as look-up tables where that is smaller,
    and decoded layer by layer. TFLite for Microcontrollers runs it.

    The int8 file of each task is verified by LiteRT. If `tflite_micro` is
    installed, its interpreter runs each task in the smallest memory that will
    do, and the outputs must equal those of the task's int8 file to the bit.

    Args:
        model: `tsn_keras.ContinualModel` of one input and one output.
        path: str or path, ending in `.tflite`.
        tasks: sequence of str, consolidated tasks; all of them by default.
        representative_data: dict of arrays or datasets by task, inputs that
            the ranges of activations are taken from: a few hundred of each.
        verification_data: dict of arrays or datasets by task, `(x, y)` or
            inputs alone, that the file is compared on. Tasks without are
            verified with their representative data.
        min_agreement: float, the fraction of the predictions of each task
            that must equal the model's.
        remove_dead_units: bool, whether units that nothing reads are left
            out of the file.
        max_arena: int, the most bytes of memory that the file may run in;
            any by default. Needs `tflite_micro`.
        forms: sequence of str, what weights may be stored as: `bitmap`,
            `lookup` and `plain`, of which the smallest is taken for each
            tensor. `plain` alone takes the most flash and the least memory.

    Raises:
        ExportError: If the file cannot be made or computes something else.
        ValueError: If an argument is unusable.

    Example:

    ```python
    report = tsn_keras.lite.export_micro_bundle(
        model, "tasks.tflite", representative_data={"a": x_a, "b": x_b})
    tsn_keras.lite.export_c_array("tasks.tflite")
    ```
    """
    checks.check_model(model)
    path = checks.checked_path(path)
    checks.check_batch_size(1, model.switch.batch_size)
    checks.check_min_agreement(min_agreement)
    check_flags(remove_dead_units=remove_dead_units)
    check_micro_arguments(PRECISION, 1, max_arena)
    check_forms(forms)
    names = checks.tasks_to_export(model, tasks)
    checks.check_no_text(model)
    checks.check_by_task("representative_data", representative_data, names)
    checks.check_by_task("verification_data", verification_data, names)
    missing = [n for n in names if n not in (representative_data or {})]
    if missing:
        raise ValueError(
            "`representative_data` needs a few hundred inputs of each task, "
            f"such as its validation data. There are none of: {missing}"
        )
    network = in_float32(model)
    for name in names:
        checks.check_policies(network, name)
    found = {
        name: _make(
            model,
            network,
            name,
            representative_data[name],
            (verification_data or {}).get(name),
            min_agreement,
            remove_dead_units,
            forms,
        )
        for name in names
    }
    _check_alike(found)
    decoded = [task.decoded for task in found.values()]
    chosen = with_task_choice(
        [FlatModel.from_bytes(each.content) for each in decoded]
    )
    content = packed(chosen)
    figures = figures_of(decoded, max_arena, content)
    content = with_tasks(
        content, [task.about for task in found.values()], model.name
    )
    agreements = {name: task.agreement for name, task in found.items()}
    if figures.arena_bytes is not None:
        for number, (name, task) in enumerate(found.items()):
            agreements[name] = verify_micro(
                content,
                task.plain,
                task.expected,
                task.samples,
                model.switch.inputs,
                get_precision(PRECISION),
                min_agreement,
                figures.arena_bytes,
                name,
                task=number,
                about=task.about,
            )
    with network.switch.reading(names[0]):
        dense = dense_bytes(network, 1)
    with complete_file(path) as file:
        file.write_bytes(content)
    return MicroReport(
        path,
        len(content),
        dense,
        sum(len(task.plain) for task in found.values()),
        tuple(names),
        figures,
        agreements,
        {name: task.samples.source for name, task in found.items()},
    )


def _make(
    model: Any,
    network: Any,
    name: str,
    representative: Any,
    verification: Any,
    min_agreement: float,
    remove_dead_units: bool,
    forms: Sequence[str],
) -> _Task:
    """Makes the int8 file of a task, verified, and the one that decodes."""
    inputs, precision = model.switch.inputs, get_precision(PRECISION)
    ranges = sampling.take_samples(
        representative, inputs, f"representative_data[{name!r}]"
    )
    samples = dataclasses.replace(ranges, source="representative_data")
    if verification is not None:
        samples = sampling.verification_samples(model, name, verification)
    expected = model_outputs(network, samples, name)
    if network is not model:
        check_alike(expected, model_outputs(model, samples, name))
    with network.switch.reading(name):
        plain, _ = task_content(
            network,
            task_values(network, name),
            precision,
            1,
            ranges,
            remove_dead_units,
        )
    check_microcontroller(plain)
    agreement = verify_content(
        plain, expected, samples, inputs, precision, min_agreement
    )
    return _Task(
        plain,
        with_decoded_weights(plain, forms),
        MicroTask.of_file(
            name, FlatModel.from_bytes(plain), model.bank[name].class_names
        ),
        expected,
        samples,
        agreement,
    )


def _check_alike(tasks: Mapping[str, _Task]) -> None:
    """Refuses networks that one graph cannot choose from."""
    shapes = {}
    for name, task in tasks.items():
        (graph,) = FlatModel.from_bytes(task.plain).graphs
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise checks.ExportError(
                "A file of several tasks for microcontrollers has networks of "
                f"one input and one output. Task '{name}' has "
                f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs. "
                "Export each task by itself, with compression='micro'."
            )
        shape = graph.tensors[graph.outputs[0]].shape
        shapes[name] = tuple(map(int, shape))
    if len({shape[:-1] for shape in shapes.values()}) > 1:
        raise checks.ExportError(
            "Heads of one file may differ in the number of classes only. "
            f"Their outputs are {shapes}. Export these tasks in files of "
            "their own, or give `tasks` those that are alike."
        )
