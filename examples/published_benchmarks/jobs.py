"""One job: a method learns a benchmark with a seed, and is measured."""

import dataclasses
import json
import pathlib
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from examples.published_benchmarks.benchmarks import (
    BENCHMARKS,
    Benchmark,
    Request,
    check_memory,
)
from examples.published_benchmarks.methods import METHODS
from tsn_keras.bank import BudgetError
from tsn_keras.baselines import choose_strength
from tsn_keras.evaluation import (
    ScenarioRun,
    average_accuracy,
    backward_transfer,
)
from tsn_keras.files import complete_file

SETTINGS_FILE, STRENGTH_FILE = "settings.json", "strength.json"
IDENTITY = ("benchmark", "method", "seed", "preset", "order")
TIMED_IMAGES, TIMED_CALLS = 1000, 5


@dataclasses.dataclass(frozen=True)
class Job:
    """What one line of the results is about.

    Args:
        benchmark: A key of `BENCHMARKS`.
        method: A key of `METHODS`.
        num_tasks: Instead of the preset's, as are `epochs` and `batch_size`.
    """

    benchmark: str
    method: str
    seed: int
    preset: str
    order: str
    num_tasks: int | None = None
    epochs: int | None = None
    batch_size: int | None = None

    def identity(self) -> dict[str, Any]:
        """Returns what tells this job from others."""
        return {name: getattr(self, name) for name in IDENTITY}

    def settings(self) -> dict[str, Any]:
        """Returns what else decides the outcome, beside the library."""
        of = BENCHMARKS[self.benchmark]
        return {
            "num_tasks": self.num_tasks or of.num_tasks[self.preset],
            "epochs": self.epochs or of.epochs[self.preset],
            "batch_size": self.batch_size or of.batch_size,
        }

    def name(self) -> str:
        return "_".join(str(value) for value in self.identity().values())


@dataclasses.dataclass(frozen=True)
class Places:
    """Where data are read, and where unfinished jobs are kept."""

    work_dir: str
    data_dir: str | None = None
    folders: tuple[tuple[str, str | None], ...] = ()


def check_settings(
    job: Job, before: dict[str, Any], where: str, remedy: str
) -> None:
    """Refuses to go on with what was begun with other flags."""
    differing = [
        f"--{name}={value} instead of {before.get(name)}"
        for name, value in job.settings().items()
        if before.get(name) != value
    ]
    if differing:
        raise ValueError(
            f"{where} holds {job.name()} with other flags: "
            f"{', '.join(differing)}. Give the same flags, or {remedy}."
        )


def run_job(job: Job, places: Places) -> dict[str, Any]:
    """Learns and measures; returns the line of the results.

    What was learned before the job was stopped is not learned again.
    """
    benchmark, method = BENCHMARKS[job.benchmark], METHODS[job.method]
    settings = job.settings()
    folder = pathlib.Path(places.work_dir, job.name())
    if (folder / SETTINGS_FILE).exists():
        before = json.loads((folder / SETTINGS_FILE).read_text())
        check_settings(job, before, f"'{folder}'", "another --work_dir")
    if not method.resumes and folder.exists():
        shutil.rmtree(folder)
    tasks = benchmark.make_tasks(
        Request(
            settings["num_tasks"],
            settings["batch_size"],
            job.seed,
            job.order,
            places.data_dir,
            places.folders,
        )
    )
    make = _maker(benchmark, method.make, tasks, settings, job.seed)
    keras.utils.set_random_seed(job.seed)
    dense = 4 * benchmark.make_backbone(tasks[0].input_shape).count_params()
    check_memory(benchmark, dense, method.copies)
    folder.mkdir(parents=True, exist_ok=True)
    _write(settings, folder / SETTINGS_FILE)

    strength, accuracies = _strength(job, make, tasks, folder)
    run = ScenarioRun(make(strength), tasks, folder, resume=method.resumes)
    _learn_all(run, settings["epochs"])
    report = run.finish({**job.identity(), **settings})
    capacity = report["capacity"]
    # Of the tasks that there was room for.
    matrix = run.matrix.values[: run.learned, : run.learned]
    return {
        **job.identity(),
        "settings": settings,
        "strength": strength,
        "validated": accuracies,
        "learned": run.learned,
        "accuracy": average_accuracy(matrix),
        "worst": float(np.min(matrix[-1])),
        "backward_transfer": backward_transfer(matrix),
        "accuracies": [round(float(a), 4) for a in matrix[-1]],
        "bit_exact": report["bit_exact"],
        "bytes": capacity["bytes"],
        "total_bytes": capacity["total_bytes"],
        "fraction": capacity["fraction"],
        "training_seconds": round(run.training_seconds, 1),
        "consolidation_seconds": round(run.consolidation_seconds, 1),
        "inference_ms": round(inference_ms(run.model, tasks[0]), 2),
        "peak_megabytes": round(peak_bytes() / 1e6),
    }


def _learn_all(run: ScenarioRun, epochs: int) -> None:
    """Learns the tasks that remain, as many as the network has room for."""
    while run.remaining:
        head = keras.layers.Dense(run.remaining[0].num_classes)
        try:
            run.learn(head, epochs=epochs)
        except BudgetError as error:
            if not run.learned:
                raise
            print(f"After {run.learned} tasks: {error}", flush=True)
            run.model.discard_task()
            return


def inference_ms(model: keras.Model, task: Any) -> float:
    """Returns the milliseconds that 1,000 images take, the median of a few."""
    x, _ = next(iter(task.test))
    x = np.resize(np.asarray(x), (TIMED_IMAGES, *x.shape[1:]))
    seconds = []
    for _ in range(TIMED_CALLS + 1):
        start = time.perf_counter()
        model.predict(x, task=task.name, batch_size=TIMED_IMAGES, verbose=0)
        seconds.append(time.perf_counter() - start)
    # The first call traces.
    return 1000 * statistics.median(seconds[1:])


def peak_bytes() -> int:
    """Returns the most memory that this process had, with all libraries."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _maker(
    benchmark: Benchmark,
    make: Callable,
    tasks: Sequence,
    settings: dict[str, Any],
    seed: int,
) -> Callable[[Any], keras.Model]:
    """Returns a function that makes a compiled method for a strength."""
    steps = int(tasks[0].train.cardinality()) * settings["epochs"]

    def compiled(strength):
        keras.utils.set_random_seed(seed)
        backbone = benchmark.make_backbone(tasks[0].input_shape)
        model = make(backbone, settings["num_tasks"], strength, seed)
        rate = benchmark.learning_rate
        if benchmark.decays:
            total = steps * (len(tasks) if trains_all(model) else 1)
            rate = keras.optimizers.schedules.CosineDecay(rate, total)
        model.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=benchmark.steps_per_execution,
        )
        return model

    return compiled


def trains_all(model: keras.Model) -> bool:
    """Whether one call of `fit` passes over the data of all tasks."""
    return hasattr(model, "num_tasks")


def _strength(job: Job, make: Callable, tasks: Sequence, folder: pathlib.Path):
    """Returns the strength of a method, and what each that was tried gave."""
    method, path = METHODS[job.method], folder / STRENGTH_FILE
    if not method.strengths:
        return None, None
    if not path.exists():
        strength, found = choose_strength(
            make,
            tasks,
            method.strengths,
            job.settings()["epochs"],
            tolerance=method.tolerance,
        )
        named = {str(value): round(a, 4) for value, a in found.items()}
        _write([strength, named], path)
    return json.loads(path.read_text())


def _write(value: Any, path: pathlib.Path) -> None:
    with complete_file(path) as unfinished:
        unfinished.write_text(json.dumps(value))
