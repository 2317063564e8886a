"""Exports all tasks of a model in one .tflite file."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras import tree

from tsn_keras.data import check_class_names_fit, checked_class_names
from tsn_keras.files import complete_file
from tsn_keras.inference import get_scores, portable
from tsn_keras.lite import checks
from tsn_keras.lite import samples as sampling
from tsn_keras.lite.bundles.graph import BundleModule
from tsn_keras.lite.bundles.metadata import describe, sign
from tsn_keras.lite.bundles.network_output import put_out_networks
from tsn_keras.lite.files.cleanup import slim
from tsn_keras.lite.files.conversion import convert
from tsn_keras.lite.networks.float32 import check_alike, in_float32
from tsn_keras.lite.precision import get_precision
from tsn_keras.lite.runner import TaskRunner
from tsn_keras.lite.task_file import dense_bytes
from tsn_keras.lite.verification import (
    DELEGATES,
    Agreement,
    checked,
    explained,
    model_outputs,
)
from tsn_keras.tables import Column, Table, Tabular


@dataclasses.dataclass(frozen=True)
class BundleReport(Tabular):
    """What was exported, and how each task compares with the model.

    Printed, it is a short table, and so at the end of a notebook's cell.
    `equal` is the fraction of equal predictions.

    Args:
        dense_bytes: int, the size of the file of ONE dense float32 network,
            with the head of the first task.
        samples: dict of str by task, what it was verified with:
            `verification_data`, `validation_data` (a few examples that the
            task was validated with) or `random`.
    """

    path: pathlib.Path
    bytes: int
    dense_bytes: int
    tasks: tuple[str, ...]
    agreements: dict[str, Agreement]
    samples: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON knows: all but the logits."""
        agreements = self.agreements.items()
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "dense_bytes": self.dense_bytes,
            "tasks": list(self.tasks),
            "agreements": {task: each.to_dict() for task, each in agreements},
        }

    def _table(self) -> Table:
        rows = [
            (task, each.agreement, each.largest_difference)
            for task, each in self.agreements.items()
        ]
        forms = {"task": "", "equal": ".1%", "difference": ".1e"}
        title = (
            f"{self.path.name}: {self.bytes:,} bytes, {self.fraction:.1%} of "
            f"ONE dense network's {self.dense_bytes:,}, {len(rows)} tasks"
        )
        return Table([Column(*each) for each in forms.items()], rows, title)

    @property
    def fraction(self) -> float:
        """The size of the file, of that of the dense network's file."""
        return self.bytes / self.dense_bytes


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
        tasks: sequence of str, consolidated tasks; all of them by default.
        batch_size: int, or `None` for a file that takes any.
        class_names: dict of lists of str by task, in place of those that were
            given to `add_task`.
        verification_data: dict of arrays or datasets by task. Tasks without
            are verified as `export_task` does it.

    Raises:
        ExportError: If the file cannot be made or computes something else.
        ValueError: If an argument is unusable.
    """
    checks.check_model(model)
    path = checks.checked_path(path)
    checks.check_batch_size(batch_size, model.switch.batch_size)
    names = checks.tasks_to_export(model, tasks)
    checks.check_no_text(model)
    network = in_float32(model)
    for name in names:
        checks.check_policies(network, name)
    checks.check_by_task("class_names", class_names, names)
    checks.check_by_task("verification_data", verification_data, names)
    data = verification_data or {}
    samples = {name: _samples(model, name, data.get(name)) for name in names}
    expected = {
        name: model_outputs(network, samples[name], name) for name in names
    }
    if network is not model:
        for name in names:
            given = model_outputs(model, samples[name], name)
            check_alike(expected[name], given)
    classes = _class_names(model, names, class_names or {}, expected)
    module = BundleModule(network, names, batch_size)
    with network.compiled_heads.tracing:
        signatures = module.signatures()
    numbers = {
        name: [names.index(task) for task in tasks]
        for name, tasks in module.networks.items()
    }
    content = put_out_networks(slim(convert(module, signatures)), numbers)
    outputs = {
        task: signatures[name].structured_outputs
        for name, tasks in module.networks.items()
        for task in tasks
    }
    with network.switch.reading(names[0]):
        dense = dense_bytes(network, batch_size)
    told = _told_apart(model, names, expected)
    metadata = describe(model, names, classes, told, module.inputs, outputs)
    content = sign(content, metadata)
    with complete_file(path) as file:
        file.write_bytes(content)
        agreements = _verify(file, model.switch.inputs, samples, expected)
    sources = {name: found.source for name, found in samples.items()}
    return BundleReport(
        path, len(content), dense, tuple(names), agreements, sources
    )


def _samples(model: Any, task: str, data: Any) -> sampling.Samples:
    if data is None:
        return sampling.default_samples(model, task)
    outputs = model.heads.output_names(model.bank[task].head)
    return sampling.take_samples(
        data, model.switch.inputs, "verification_data", outputs
    )


def _class_names(
    model: Any, tasks: list[str], given: dict, expected: dict
) -> dict[str, list[str]]:
    """Returns the names of classes by task, of those that have any."""
    found = {}
    for task in tasks:
        argument = f"class_names[{task!r}]"
        names = checked_class_names(given.get(task), argument)
        if names is not None:
            shapes = [part.shape for part in expected[task].values()]
            check_class_names_fit(names, shapes, f"task '{task}'", argument)
        names = names or model.bank[task].class_names
        if names is not None:
            found[task] = names
    return found


def _told_apart(
    model: Any, tasks: list[str], expected: dict
) -> dict[str, dict]:
    """Returns what a runner infers tasks by, of those that have anything."""
    scores = get_scores(model.inference)
    found = {
        task: portable(scores, model.bank[task], list(expected[task]))
        for task in tasks
    }
    return {task: form for task, form in found.items() if form is not None}


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
