"""A sequence of tasks learned, measured, reported, and resumed."""

import contextlib
import functools
import hashlib
import json
import math
import os
import pathlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from tsn_keras.data import (
    check_flags,
    check_paths,
    check_strings,
    check_verbose,
)
from tsn_keras.evaluation import run_identity
from tsn_keras.evaluation.accuracy_matrix import (
    AccuracyMatrix,
    check_model,
    check_tasks,
)
from tsn_keras.evaluation.bit_exactness import BitExactness
from tsn_keras.evaluation.html_report import write_html_report
from tsn_keras.evaluation.plots import plot_accuracy_matrix, plot_capacity
from tsn_keras.evaluation.progress import RunProgress, StageWatch
from tsn_keras.evaluation.report import write_report
from tsn_keras.evaluation.task_checks import check_run_tasks
from tsn_keras.files import complete_file

MODEL_FILE = "model.keras"
PROGRESS_FILE = "progress.json"
REPORT_FILE = "report.json"
PAGE_FILE = "report.html"
MATRIX_FILE = "accuracy_matrix.png"
CAPACITY_FILE = "capacity.png"
REMEDY = (
    "Give it what it was begun with, or another `output_dir`, or delete what "
    "that one holds. Nothing was changed on disk."
)


class DamagedRunError(ValueError):
    """What a run saved cannot be read."""


def _one_at_a_time(method: Callable) -> Callable:
    """Refuses a method of a run while another thread changes its model."""

    @functools.wraps(method)
    def alone(self, *args, **kwargs):
        changes = getattr(self.model, "changes", None)
        with changes.by(method.__name__) if changes else _nothing():
            return method(self, *args, **kwargs)

    return alone


class ScenarioRun:
    """Learns the tasks of a scenario, measures them, and saves the results.

    The model and the measurements are saved after each task, so that a run
    that was stopped goes on with the next task.

    A run is resumed with what it was begun with, compared by content: all
    validation and test data, the first 1,024 examples of the training data in
    each task, labels and order included; the model's architecture, frozen
    weights, strategies and seed, what it was compiled with, and `metric`. More
    tasks may follow. To compare them the data are read when the run is made.
    That changes no order of training in tasks of a scenario. Training data that
    are shuffled anew each time they are read are compared in any order, up to
    65,536 examples; of those that are augmented at random only the form is.

    Another model than a `ContinualModel` is learned with, too, if Keras saves
    and loads it and it has `add_task`, `fit`, `consolidate`, `evaluate`,
    `predict`, `report`, `capacity`, `tasks` and `get_config`, as those of
    `tsn_keras.baselines` have. What it stores of a task is not compared, and
    there is no `report.html`.

    Args:
        model: `ContinualModel`, compiled.
        tasks: A sequence of `tsn_keras.scenarios.Task`, or of other objects
            with `name`, `train`, `validation` and `test`.
        output_dir: Folder for `model.keras`, `report.json`, `report.html` and
            the plots.
        metric: Name of the compiled metric that is the accuracy.
        resume: Whether to go on with what `output_dir` holds, instead of
            beginning anew. A folder with another run's files is refused.
        verbose: 0 prints nothing, 2 a row as each task ends, 1 also a line with
            the time left of what takes over five seconds; `"auto"` is 1 in
            terminals and notebooks, else 2.

    Raises:
        ValueError: If `output_dir` holds another run, or is to be resumed and
            holds files of several.

    Example:

    ```python
    run = ScenarioRun(model, scenario, "/tmp/run")
    while run.remaining:
        head = keras.layers.Dense(run.remaining[0].num_classes)
        run.learn(head, epochs=5)
    report = run.finish(config={"epochs": 5})
    ```
    """

    def __init__(
        self,
        model: Any,
        tasks: Sequence,
        output_dir: str | os.PathLike,
        metric: str = "accuracy",
        resume: bool = False,
        verbose: str | int = "auto",
    ) -> None:
        check_model(model)
        check_tasks(tasks)
        check_paths(output_dir=output_dir)
        check_strings(metric=metric)
        check_flags(resume=resume)
        check_run_tasks(model, tasks)
        check_verbose(verbose)
        self.model = model
        self.tasks = tasks
        self.output_dir = pathlib.Path(output_dir)
        self.metric = metric
        names = [task.name for task in tasks]
        self.matrix = AccuracyMatrix(names)
        self._progress = RunProgress(verbose, names, metric)
        self.bit_exactness = BitExactness()
        self.learned = 0
        self.seconds = 0.0
        self.training_seconds = 0.0
        self.consolidation_seconds = 0.0
        # What each task was trained with, and the digest of what it stores.
        self._arguments: list[dict[str, str]] = []
        self._records: dict[str, str] = {}
        self._resumed = False
        self._tasks = run_identity.describe_tasks(tasks)
        self._settings = run_identity.describe_settings(model, metric)
        if self.output_dir.is_file():
            raise ValueError(
                f"`output_dir` must be a folder. '{output_dir}' is a file."
            )
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if resume:
            self._resume()
        else:
            self._refuse_another_run()
        for task in self._tasks:
            if "shuffled" in task["test"]:
                warnings.warn(
                    f"The `test` data of task '{task['name']}' come in another "
                    "order each time: the run could not be resumed. Do not "
                    "shuffle them.",
                    stacklevel=2,
                )

    @property
    def remaining(self) -> Sequence:
        """The tasks that are still to be learned."""
        return self.tasks[self.learned :]

    @_one_at_a_time
    def learn(self, head: keras.layers.Layer, **fit_arguments: Any):
        """Learns the next task: add, fit, consolidate, evaluate, save.

        Takes arguments of `ContinualModel.fit`, such as `epochs`, and returns
        the task's `TaskReport`. If all tasks before a stop had the same ones,
        those after it must have them, too.
        """
        start = time.perf_counter()
        if not len(self.remaining):
            raise ValueError(
                f"All {self.learned} tasks of the scenario have been learned. "
                "Call `finish`, or make a run with more tasks."
            )
        task = self.tasks[self.learned]
        fit_arguments = {"shuffle": False, "verbose": 0, **fit_arguments}
        arguments = run_identity.describe_arguments(fit_arguments)
        self._check_arguments(arguments)
        names = getattr(task, "class_names", None)
        self.model.add_task(task.name, head=head, class_names=names)
        if not self.learned and not (self.output_dir / MODEL_FILE).exists():
            # A model that is saved next is this run's.
            self._save_progress()
        begun = time.perf_counter()
        report, trained = self._train(task, fit_arguments)
        self.training_seconds += trained - begun
        self.consolidation_seconds += time.perf_counter() - trained
        self._arguments.append(arguments)
        with self._during("evaluating all tasks"):
            self._account(task)
        self.seconds += time.perf_counter() - start
        self._save()
        self._print_row(report, time.perf_counter() - start)
        return report

    def _train(self, task, fit_arguments):
        """Returns the report of a task, and when its training had ended."""
        watch, verbose = StageWatch(), fit_arguments["verbose"]
        # Keras shows its own bar where it is asked to.
        during = _nothing if verbose else self._during
        given = fit_arguments.get("callbacks")
        if isinstance(given, keras.callbacks.CallbackList):
            given = given.callbacks
        callbacks = [*tree.flatten(given or []), watch]
        with during("training", self._part_trained):
            self.model.fit(
                task.train, **{**fit_arguments, "callbacks": callbacks}
            )
        trained = time.perf_counter()
        with during("consolidating", lambda: watch.done):
            report = self.model.consolidate(task.validation, verbose=verbose)
        return report, trained

    def _during(self, step, done=lambda: None):
        index = min(self.learned, len(self.tasks) - 1)
        return self._progress.during(index, step, done)

    def _part_trained(self) -> float | None:
        task = getattr(self.model, "running_task", None)
        steps = task and task.progress.total_steps
        return task.progress.step / steps if steps else None

    def _print_row(self, report, seconds: float) -> None:
        row = self.matrix.values[self.learned - 1, : self.learned]
        self._progress.end_task(
            report.name,
            row[-1],
            row.mean(),
            *self._sparsity_and_bits(report),
            self.model.capacity().fraction,
            seconds,
        )

    def _sparsity_and_bits(self, report) -> tuple[float | None, float | None]:
        bank = run_identity.bank_of(self.model)
        if bank is None:
            return None, None
        sizes = [math.prod(shape) for shape in bank.shapes]
        own = list(report.own.values())
        used = sum(own) + sum(report.shared.values())
        bits = np.dot(own, list(report.bits.values())) / max(1, sum(own))
        return 1.0 - used / max(1, sum(sizes)), float(bits)

    @_one_at_a_time
    def finish(
        self,
        config: Mapping[str, Any],
        single: Sequence[float] | None = None,
        **extra: Any,
    ) -> dict[str, Any]:
        """Compares all bits once more, and writes the report and the plots.

        First comes `report.json`, then `report.html`, then the plots. If one of
        the last two cannot be written, that is a warning.

        Takes `config`, `single` and further entries as `build_report` does, and
        returns what `report.json` holds.
        """
        start = time.perf_counter()
        with self._during("comparing all bits"):
            self.bit_exactness.verify(self.model)
        capacity = self.model.capacity()
        folder = self.output_dir
        reports = [self.model.report(name) for name in self.model.tasks]
        report = write_report(
            folder / REPORT_FILE,
            tasks=[report.to_dict() for report in reports],
            matrix=self.matrix,
            capacity=capacity,
            bit_exact=self.bit_exactness.all,
            seconds=self.seconds + time.perf_counter() - start,
            training_seconds=self.training_seconds,
            consolidation_seconds=self.consolidation_seconds,
            config=config,
            single=single,
            **extra,
        )
        pictures = {
            MATRIX_FILE: lambda path: plot_accuracy_matrix(self.matrix, path),
            CAPACITY_FILE: lambda path: plot_capacity(capacity, path),
        }
        bank = run_identity.bank_of(self.model)
        if bank is not None:
            title = folder.resolve().name or "run"
            page = {
                PAGE_FILE: lambda path: write_html_report(
                    path, report, bank, title
                )
            }
            pictures = {**page, **pictures}
        for name, write in pictures.items():
            _write_picture(write, folder / name)
        if (folder / PAGE_FILE).exists():
            self._progress.say(f"report: {folder / PAGE_FILE}")
        return report

    def _account(self, task) -> None:
        """Measures a task that was learned, and all tasks before it."""
        self.bit_exactness.record(self.model, task.name, _first_inputs(task))
        self.matrix.evaluate_row(
            self.model, self.tasks, self.learned, self.metric
        )
        record = run_identity.describe_record(self.model, task.name)
        self._records[task.name] = record
        self.learned += 1

    def _save(self) -> None:
        folder = self.output_dir
        stale = [REPORT_FILE, PAGE_FILE, MATRIX_FILE, CAPACITY_FILE]
        if self.learned == 1 and (folder / MODEL_FILE).exists():
            # Of another run, like the model that is replaced next.
            stale.append(PROGRESS_FILE)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
        self.model.save(folder / MODEL_FILE)
        self._save_progress()

    def _save_progress(self) -> None:
        progress = {
            "learned": self.learned,
            "seconds": self.seconds,
            "training_seconds": self.training_seconds,
            "consolidation_seconds": self.consolidation_seconds,
            "matrix": self.matrix.to_list(),
            "hashes": self.bit_exactness.hashes,
            "records": self._records,
            "arguments": self._arguments,
            "tasks": self._tasks,
            "settings": self._settings,
        }
        progress["checksum"] = _checksum(progress)
        with complete_file(self.output_dir / PROGRESS_FILE) as unfinished:
            unfinished.write_text(json.dumps(progress))

    def _resume(self) -> None:
        """Goes on with a run; what does not belong to it is refused first."""
        progress, model = self._saved_run()
        if progress is None:
            return
        self.model = model
        self.learned = progress["learned"]
        self.seconds = progress["seconds"]
        self.training_seconds = progress["training_seconds"]
        self.consolidation_seconds = progress["consolidation_seconds"]
        self._records = progress["records"]
        self._arguments = progress["arguments"]
        self._resumed = True
        for row, values in enumerate(progress["matrix"][: self.learned]):
            for column in range(row + 1):
                self.matrix.record(row, column, values[column])
        for task in self.tasks[: self.learned]:
            self.bit_exactness.resume(
                task.name, _first_inputs(task), progress["hashes"][task.name]
            )
        if len(self.model.tasks) > self.learned:
            # The run was stopped after it saved the model, and before it saved
            # the measurements. How long the task took is not known.
            self._account(self.remaining[0])

    def _refuse_another_run(self) -> None:
        """Refuses a folder with the files of a run of other tasks or settings.

        Those of the same run are replaced.
        """
        if (self.output_dir / PROGRESS_FILE).exists():
            # What nobody can go on with is no loss.
            with contextlib.suppress(DamagedRunError):
                self._check_identity(self._saved_progress())

    def _saved_run(self) -> tuple[dict[str, Any] | None, Any]:
        """Reads what a run saved; `None` if it saved no task."""
        folder, progress, saved = self.output_dir, None, None
        if (folder / PROGRESS_FILE).exists():
            progress = self._saved_progress()
            self._check_identity(progress)
            self._check_comparable(len(progress["hashes"]))
        if (folder / MODEL_FILE).exists():
            saved = keras.models.load_model(folder / MODEL_FILE)
        if progress is None and saved is not None:
            raise ValueError(
                f"'{folder}' holds a model, and no '{PROGRESS_FILE}' that says "
                f"which run it belongs to. {REMEDY}"
            )
        learned = progress["learned"] if progress else 0
        if saved is None and not learned:
            return None, None
        names = [task["name"] for task in self._tasks]
        has = list(getattr(saved, "tasks", ()))
        # One more if the run was stopped between its two files.
        is_known = has in (names[:learned], names[: learned + 1])
        if not is_known or any(
            run_identity.describe_record(saved, name) != record
            for name, record in progress["records"].items()
        ):
            raise ValueError(
                f"'{MODEL_FILE}' in '{folder}' is not the model that "
                f"'{PROGRESS_FILE}' belongs to: it has the tasks {has}, and "
                f"{names[:learned]} were measured, whose stored bits are "
                f"known. {REMEDY}"
            )
        return progress, saved

    def _saved_progress(self) -> dict[str, Any]:
        path = self.output_dir / PROGRESS_FILE
        try:
            progress = json.loads(path.read_text())
        except ValueError:
            progress = None
        is_whole = isinstance(progress, dict) and "checksum" in progress
        if not is_whole or progress.pop("checksum") != _checksum(progress):
            raise DamagedRunError(
                f"'{path}' is damaged, was edited, or was written by another "
                f"version. {REMEDY}"
            )
        return progress

    def _check_identity(self, progress: dict[str, Any]) -> None:
        """Refuses to go on with other tasks or settings than were begun."""
        learned = list(progress["hashes"])
        names = [task["name"] for task in self._tasks[: len(learned)]]
        if learned != names:
            raise ValueError(
                f"The run in '{self.output_dir}' learned the tasks {learned}, "
                f"and this scenario begins with {names}. {REMEDY}"
            )
        found = run_identity.differing_tasks(progress["tasks"], self._tasks)
        found += run_identity.differing_settings(
            progress["settings"], self._settings
        )
        if found:
            raise ValueError(
                f"The run in '{self.output_dir}' was begun with other data or "
                f"settings: {'; '.join(found)}. {REMEDY}"
            )

    def _check_comparable(self, learned: int) -> None:
        """Refuses to go on where bits cannot be compared."""
        for task in self._tasks[:learned]:
            if "examples" not in task["test"]:
                raise ValueError(
                    f"The `test` data of task '{task['name']}' come in another "
                    "order each time, so its bits cannot be compared with "
                    f"those of the run in '{self.output_dir}'. Do not shuffle "
                    "test data, and begin anew with `resume=False`."
                )

    def _check_arguments(self, arguments: dict[str, str]) -> None:
        """Refuses to train on otherwise than before the stop."""
        before = self._arguments
        if self._resumed and before and before[1:] == before[:-1]:
            found = run_identity.differing_settings(before[0], arguments)
            if found:
                raise ValueError(
                    f"The run in '{self.output_dir}' trained its tasks with "
                    f"other arguments: {'; '.join(found)}. {REMEDY}"
                )


def _write_picture(write: Callable, path: pathlib.Path) -> None:
    """Writes what shows a report, and only warns where that fails.

    A run of hours is not to end in an error because of a drawing.
    """
    # Of an earlier call; it would show other numbers.
    path.unlink(missing_ok=True)
    try:
        write(path)
    except Exception as error:
        warnings.warn(
            f"'{path.name}' was not written: {type(error).__name__}: {error}. "
            f"'{REPORT_FILE}' is complete.",
            stacklevel=4,
        )


def _nothing(*_: Any) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext()


def _checksum(progress: dict[str, Any]) -> str:
    text = json.dumps(progress, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _first_inputs(task):
    inputs, _ = next(iter(task.test))
    return inputs
