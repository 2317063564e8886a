"""A sequence of tasks learned, measured, reported, and resumed."""

import json
import os
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tsn_keras.data import check_flags, check_paths, check_strings
from tsn_keras.evaluation.accuracy_matrix import (
    AccuracyMatrix,
    check_model,
    check_tasks,
)
from tsn_keras.evaluation.bit_exactness import BitExactness
from tsn_keras.evaluation.plots import plot_accuracy_matrix, plot_capacity
from tsn_keras.evaluation.report import write_report
from tsn_keras.files import complete_file

MODEL_FILE = "model.keras"
PROGRESS_FILE = "progress.json"


class ScenarioRun:
    """Learns the tasks of a scenario, measures them, and saves the results.

    The model and the measurements are saved after each task, so that a run
    that was stopped goes on with the next task.

    Args:
        model: `ContinualModel`, compiled.
        tasks: A sequence of `tsn_keras.scenarios.Task`.
        output_dir: Folder for `model.keras`, `report.json` and the plots.
        metric: Name of the compiled metric that is the accuracy.
        resume: Whether to go on with what `output_dir` holds.

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
    ) -> None:
        check_model(model)
        check_tasks(tasks)
        check_paths(output_dir=output_dir)
        check_strings(metric=metric)
        check_flags(resume=resume)
        self.model = model
        self.tasks = tasks
        self.output_dir = pathlib.Path(output_dir)
        self.metric = metric
        self.matrix = AccuracyMatrix([task.name for task in tasks])
        self.bit_exactness = BitExactness()
        self.learned = 0
        self.seconds = 0.0
        self.training_seconds = 0.0
        self.consolidation_seconds = 0.0
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if resume and (self.output_dir / PROGRESS_FILE).exists():
            self._resume()

    @property
    def remaining(self) -> Sequence:
        """The tasks that are still to be learned."""
        return self.tasks[self.learned :]

    def learn(self, head: keras.layers.Layer, **fit_arguments: Any):
        """Learns the next task: add, fit, consolidate, evaluate, save.

        Takes arguments of `ContinualModel.fit`, such as `epochs`, and returns
        the task's `TaskReport`.
        """
        start = time.perf_counter()
        if not len(self.remaining):
            raise ValueError(
                f"All {self.learned} tasks of the scenario have been learned. "
                "Call `finish`, or make a run with more tasks."
            )
        task = self.tasks[self.learned]
        fit_arguments = {"shuffle": False, "verbose": 0, **fit_arguments}
        self.model.add_task(task.name, head=head)
        begun = time.perf_counter()
        self.model.fit(task.train, **fit_arguments)
        trained = time.perf_counter()
        report = self.model.consolidate(
            task.validation, verbose=fit_arguments["verbose"]
        )
        self.training_seconds += trained - begun
        self.consolidation_seconds += time.perf_counter() - trained
        self._account(task)
        self.seconds += time.perf_counter() - start
        self._save()
        return report

    def finish(
        self,
        config: Mapping[str, Any],
        single: Sequence[float] | None = None,
        **extra: Any,
    ) -> dict[str, Any]:
        """Compares all bits once more, and writes the report and the plots.

        Takes `config`, `single` and further entries as `build_report` does, and
        returns what `report.json` holds.
        """
        start = time.perf_counter()
        self.bit_exactness.verify(self.model)
        capacity = self.model.capacity()
        folder = self.output_dir
        plot_accuracy_matrix(self.matrix, folder / "accuracy_matrix.png")
        plot_capacity(capacity, folder / "capacity.png")
        reports = [self.model.report(name) for name in self.model.tasks]
        return write_report(
            folder / "report.json",
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

    def _account(self, task) -> None:
        """Measures a task that was learned, and all tasks before it."""
        self.bit_exactness.record(self.model, task.name, _first_inputs(task))
        self.matrix.evaluate_row(
            self.model, self.tasks, self.learned, self.metric
        )
        self.learned += 1

    def _save(self) -> None:
        self.model.save(self.output_dir / MODEL_FILE)
        progress = {
            "learned": self.learned,
            "seconds": self.seconds,
            "training_seconds": self.training_seconds,
            "consolidation_seconds": self.consolidation_seconds,
            "matrix": self.matrix.to_list(),
            "hashes": self.bit_exactness.hashes,
        }
        with complete_file(self.output_dir / PROGRESS_FILE) as unfinished:
            unfinished.write_text(json.dumps(progress))

    def _resume(self) -> None:
        progress = json.loads((self.output_dir / PROGRESS_FILE).read_text())
        names = [task.name for task in self.tasks][: progress["learned"]]
        if list(progress["hashes"]) != names:
            raise ValueError(
                f"The run in '{self.output_dir}' learned the tasks "
                f"{list(progress['hashes'])}, and this scenario begins with "
                f"{names}. Use the same flags, or another `output_dir`."
            )
        self.model = keras.models.load_model(self.output_dir / MODEL_FILE)
        self.learned = progress["learned"]
        self.seconds = progress["seconds"]
        self.training_seconds = progress["training_seconds"]
        self.consolidation_seconds = progress["consolidation_seconds"]
        for row, values in enumerate(progress["matrix"][: self.learned]):
            for column in range(row + 1):
                self.matrix.record(row, column, values[column])
        for task in self.tasks[: self.learned]:
            self.bit_exactness.resume(
                task.name, _first_inputs(task), progress["hashes"][task.name]
            )
        following = [task.name for task in self.remaining[:1]]
        if following and list(self.model.tasks[self.learned :]) == following:
            # The run was stopped after it saved the model, and before it saved
            # the measurements. How long the task took is not known.
            self._account(self.remaining[0])


def _first_inputs(task):
    inputs, _ = next(iter(task.test))
    return inputs
