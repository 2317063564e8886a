"""Exports all tasks of a model in one .tflite file."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras import tree

from tsn_keras.files import complete_file
from tsn_keras.lite import checks
from tsn_keras.lite import samples as sampling
from tsn_keras.lite.bundles.graph import BundleModule
from tsn_keras.lite.bundles.metadata import describe, sign
from tsn_keras.lite.bundles.network_output import put_out_networks
from tsn_keras.lite.files.cleanup import slim
from tsn_keras.lite.files.conversion import convert
from tsn_keras.lite.precision import get_precision
from tsn_keras.lite.task_file import beside_dense, dense_bytes
from tsn_keras.lite.task_runner import TaskRunner
from tsn_keras.lite.verification import (
    DELEGATES,
    Agreement,
    checked,
    explained,
    model_outputs,
)


@dataclasses.dataclass(frozen=True)
class BundleReport:
    """What was exported, and how each task compares with the model.

    Args:
        dense_bytes: int, the size of the file of ONE dense float32 network,
            with the head of the first task.
    """

    path: pathlib.Path
    bytes: int
    dense_bytes: int
    tasks: tuple[str, ...]
    agreements: dict[str, Agreement]

    @property
    def fraction(self) -> float:
        """The size of the file, of that of the dense network's file."""
        return self.bytes / self.dense_bytes

    def __str__(self) -> str:
        return f"{beside_dense(self)}; {len(self.tasks)} tasks"


def export_bundle(
    model: Any,
    path: str | os.PathLike,
    tasks: Sequence[str] | None = None,
    batch_size: int | None = 1,
    class_names: dict[str, Sequence[str]] | None = None,
    verification_data: dict[str, Any] | None = None,
) -> BundleReport:
    """Exports several tasks in one file that is smaller than one network.

    The file has built-in operators only. Its signature `select` decodes a
    task's masks, codes and private variables, and puts its network out as a
    .tflite file of its own, as fast as any, which
    `tsn_keras.lite.TaskRunner` runs.

    Every task is verified with and without XNNPACK before the file gets its
    name.

    Args:
        model: `tsn_keras.ContinualModel`.
        path: str or path, ending in `.tflite`.
        tasks: sequence of str, consolidated tasks with heads of one
            configuration; all of them by default.
        batch_size: int, or `None` for a file that takes any.
        class_names: dict of lists of str by task, kept in the file.
        verification_data: dict of arrays or datasets by task; seeded random
            inputs for tasks without.

    Raises:
        ExportError: If the file cannot be made or computes something else.
        ValueError: If an argument is unusable, or heads differ.
    """
    checks.check_model(model)
    path = checks.checked_path(path)
    checks.check_batch_size(batch_size, model.switch.batch_size)
    if tasks is None:
        tasks = model.bank.tasks if model.bank else ()
    names = checks.checked_tasks(tasks)
    if not names:
        raise ValueError("There is no consolidated task to export.")
    names = [checks.consolidated_task(model, name) for name in names]
    checks.check_equal_heads(model, names)
    checks.check_policies(model, names[0])
    checks.check_by_task("class_names", class_names, names)
    checks.check_class_names(class_names)
    checks.check_by_task("verification_data", verification_data, names)
    data = verification_data or {}
    samples = {name: _samples(model, name, data.get(name)) for name in names}
    expected = {
        name: model_outputs(model, samples[name], name) for name in names
    }
    with model.switch.reading(names[0]):
        module = BundleModule(model, names, batch_size)
        with model.compiled_heads.tracing:
            signatures = module.signatures()
        dense = dense_bytes(model, batch_size)
    content = put_out_networks(slim(convert(module, signatures)))
    outputs = signatures["compute"].structured_outputs
    classes = class_names or {}
    metadata = describe(model, names, classes, module.inputs, outputs)
    content = sign(content, metadata)
    with complete_file(path) as file:
        file.write_bytes(content)
        agreements = _verify(file, model.switch.inputs, samples, expected)
    return BundleReport(path, len(content), dense, tuple(names), agreements)


def _samples(model: Any, task: str, data: Any) -> sampling.Samples:
    if data is None:
        return sampling.random_samples(model.switch.inputs)
    outputs = model.heads.output_names(model.bank[task].head)
    return sampling.take_samples(
        data, model.switch.inputs, "verification_data", outputs
    )


def _verify(
    file: pathlib.Path, inputs: Any, samples: dict, expected: dict
) -> dict[str, Agreement]:
    """Runs every task in both ways, with and without XNNPACK."""
    agreements, precision = {}, get_precision("float32")
    for xnnpack, where in DELEGATES.items():
        with explained(f"The bundle does not run in {where}"):
            runner = TaskRunner(file, xnnpack=xnnpack)
            for task, examples in samples.items():
                runner.select(task)
                x = tree.pack_sequence_as(inputs, examples.x)
                outputs = runner.predict(x)
                if len(runner.outputs) == 1:
                    outputs = {runner.outputs[0]["name"]: outputs}
                place = f"Task '{task}', {where}"
                found = checked(
                    outputs, expected[task], examples, precision, place
                )
                agreements.setdefault(task, found)
    return agreements
