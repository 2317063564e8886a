"""The report of a run, as JSON."""

import json
import os
import pathlib
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from tsn_keras.data import (
    check_flags,
    check_numbers,
    check_paths,
    shown,
)
from tsn_keras.evaluation import metrics
from tsn_keras.evaluation.accuracy_matrix import AccuracyMatrix
from tsn_keras.evaluation.plots import check_capacity, check_matrix
from tsn_keras.files import complete_file

_DISTRIBUTIONS = (
    "tensorflow",
    "keras",
    "tensorflow-model-optimization",
    "numpy",
    "tsn_keras",
)


def build_report(
    *,
    tasks: Sequence[Mapping[str, Any]],
    matrix: AccuracyMatrix,
    capacity: Any,
    bit_exact: bool,
    seconds: float,
    config: Mapping[str, Any],
    single: Sequence[float] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Assembles the report of a run from its parts.

    The keys are `tasks`, `accuracy_matrix`, `metrics` (see
    `tsn_keras.evaluation.metrics` for the formulas), `capacity`, `bit_exact`,
    `seconds`, `config`, `versions`, and those of `extra`. NaN, infinite and
    unknown values become None. So do all metrics if an entry of the matrix is
    missing, as after a run that was stopped.

    Args:
        tasks: The report of each task, as `consolidate` returned it.
        capacity: What `ContinualModel.capacity()` returned.
        bit_exact: Whether the logits of every earlier task were compared and
            found identical after the last task.
        config: Flags and other settings of the run.
        single: Quality of a separately trained network on each task, for the
            forward transfer.

    Raises:
        TypeError: If JSON cannot hold a value.
    """
    check_matrix(matrix)
    check_capacity(capacity)
    check_flags(bit_exact=bit_exact)
    check_numbers(seconds=seconds)
    if isinstance(tasks, (str, Mapping)) or not isinstance(tasks, Iterable):
        raise TypeError(
            "`tasks` must be a list of dicts, as `TaskReport.to_dict()` "
            f"returns them. Received: tasks={shown(tasks)}"
        )
    if not isinstance(config, Mapping):
        raise TypeError(
            f"`config` must be a dict. Received: config={shown(config)}"
        )
    report = {
        "tasks": list(tasks),
        "accuracy_matrix": matrix.to_list(),
        "metrics": _metrics(matrix, single),
        "capacity": {
            "bytes": dict(capacity.bytes),
            "total_bytes": capacity.total_bytes,
            "dense_bytes": capacity.dense_bytes,
            "fraction": capacity.fraction,
        },
        "bit_exact": bool(bit_exact),
        "seconds": float(seconds),
        "config": dict(config),
        "versions": _versions(),
    }
    taken = sorted(report.keys() & extra.keys())
    if taken:
        raise ValueError(
            f"`extra` has the keys {taken}, which the report fills itself. "
            "Give them other names."
        )
    return _plain({**report, **extra}, "report")


def write_report(path: str | os.PathLike, **parts: Any) -> dict[str, Any]:
    """Writes the report of a run to a JSON file.

    The file appears only when it is complete. Missing folders are made.
    `parts` are the arguments of `build_report`, and the report is returned.

    Example:

    ```python
    write_report(
        "report.json",
        tasks=reports,
        matrix=matrix,
        capacity=model.capacity(),
        bit_exact=bit_exactness.all,
        seconds=time.perf_counter() - start,
        config={"epochs": 5},
    )
    ```
    """
    check_paths(path=path)
    report = build_report(**parts)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as unfinished:
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=2, allow_nan=False)
            file.write("\n")
    return report


def _metrics(matrix, single):
    known = ~np.isnan(matrix.values[np.tril_indices(len(matrix))])

    def compute(metric, *more):
        # The report of a long run that was stopped is worth more than an error.
        return metric(matrix, *more) if known.all() else None

    return {
        "average_accuracy": compute(metrics.average_accuracy),
        "backward_transfer": compute(metrics.backward_transfer),
        "forward_transfer": compute(metrics.forward_transfer, single),
        "forgetting": compute(metrics.forgetting),
    }


def _versions():
    versions = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _plain(value, where):
    """Turns a nest of values into what JSON knows."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        items = value.items()
        return {str(k): _plain(v, f"{where}[{k!r}]") for k, v in items}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
    raise TypeError(
        f"`{where}` cannot be written as JSON. Received: {value!r} of type "
        f"{type(value).__name__}. Pass numbers, strings, lists, dicts or "
        "NumPy arrays."
    )
