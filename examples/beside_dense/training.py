"""One job: a dense network and a `ContinualModel`, trained side by side."""

import dataclasses
import time
from typing import Any

import keras
import numpy as np

import tsn_keras
from examples.beside_dense import rows
from examples.beside_dense.data import Request, Task

# Epochs that early stopping may use, in those of the row.
PATIENCE, LONGEST = 3, 2
SPARSITIES, WIDTHS = (0.8, 0.9, 0.95), (2, 3, 4)
# What the grid's variants are called, by sparsity and width.
GRID = {
    f"grid_{sparsity}_{width}": (sparsity, width)
    for sparsity in SPARSITIES
    for width in WIDTHS
}
VARIANTS = ("default", "early_stopping", *GRID)
PREDICTION_BATCH = 1000
# What a report tells of each kernel; the line has the means.
OF_KERNELS = ("sparsity", "bits", "own", "shared")


@dataclasses.dataclass(frozen=True)
class Size:
    """How much of a row is trained: None for all of it."""

    num_tasks: int = 3
    most: int | None = None
    epochs: int | None = None


SIZES = {"full": Size(), "small": Size(num_tasks=2, most=120, epochs=2)}


@dataclasses.dataclass(frozen=True)
class Job:
    """What one line of the results is about.

    Args:
        fold: Which fifth of the data tests; None if the test part is given.
        size: A key of `SIZES`.
        tolerance: That of the `ContinualModel`; None for its default.
    """

    row: str
    variant: str
    seed: int
    fold: int | None = None
    size: str = "full"
    tolerance: float | None = None

    def epochs(self) -> int:
        epochs = SIZES[self.size].epochs or rows.ROWS[self.row].epochs
        return epochs * (LONGEST if self.variant == "early_stopping" else 1)

    def identity(self) -> dict[str, Any]:
        """Returns what decides the outcome, beside the library itself."""
        row, size = rows.ROWS[self.row], SIZES[self.size]
        return {
            **{n: getattr(self, n) for n in ("row", "variant", "seed", "fold")},
            "settings": {
                "size": self.size,
                "tasks": size.num_tasks,
                "epochs": self.epochs(),
                "batch_size": row.batch_size,
                "tolerance": self.tolerance,
            },
        }


def fixed_strategies(sparsity: float, width: int) -> dict[str, Any]:
    """Returns arguments that fix what a `ContinualModel` finds by itself."""
    return {
        "pruning": tsn_keras.pruning.AdaptiveSparsity(sparsity=sparsity),
        "quantization": tsn_keras.quantization.AdaptiveCodebook(
            min_width=width, max_width=width
        ),
    }


def run_job(job: Job, data_dir: str | None = None) -> dict[str, Any]:
    """Trains both networks on all tasks; returns the line of the results."""
    keras.backend.clear_session()
    size = SIZES[job.size]
    request = Request(job.seed, job.fold, size.num_tasks, size.most, data_dir)
    tasks = rows.ROWS[job.row].make_tasks(request)
    # First, so that what TensorFlow does once is not counted as Keras'.
    model, reports, seconds = learn_all(job, tasks)
    dense = [None] * len(tasks)
    if job.variant not in GRID:
        dense, seconds["dense_fit"] = train_dense(job, tasks)
    # After the last task: what each is worth once all are learned.
    ours = [_predict(model, task.test[0], task=task.name) for task in tasks]
    compared = [
        {"name": task.name, **compare(rows.ROWS[job.row].kind, *three)}
        for task, *three in zip(tasks, [t.test[1] for t in tasks], dense, ours)
    ]
    capacity = model.capacity()
    return {
        **job.identity(),
        "kind": rows.ROWS[job.row].kind,
        "tasks": compared,
        "bytes": capacity.total_bytes,
        "fraction": capacity.fraction,
        **describe_kernels(model),
        "reports": reports,
        "seconds": {name: round(s, 2) for name, s in seconds.items()},
    }


def learn_all(
    job: Job, tasks: list[Task]
) -> tuple[tsn_keras.ContinualModel, list[dict], dict[str, float]]:
    """Returns a model that has learned all tasks, reports, and seconds."""
    row = rows.ROWS[job.row]
    keras.utils.set_random_seed(_seed(job, 0))
    arguments = {}
    if job.variant in GRID:
        arguments = fixed_strategies(*GRID[job.variant])
    if job.tolerance is not None:
        arguments["tolerance"] = job.tolerance
    model = tsn_keras.ContinualModel(row.make_backbone(), **arguments)
    row.compile(model)
    reports, seconds = [], {"fit": 0.0, "consolidate": 0.0}
    for number, task in enumerate(tasks):
        keras.utils.set_random_seed(_seed(job, number))
        model.add_task(task.name, head=row.head())
        seconds["fit"] += _fit(model, job, task)
        start = time.perf_counter()
        report = model.consolidate(task.validation, verbose=0)
        seconds["consolidate"] += time.perf_counter() - start
        facts = report.to_dict()
        reports.append({k: facts[k] for k in facts if k not in OF_KERNELS})
    return model, reports, seconds


def train_dense(job: Job, tasks: list[Task]) -> tuple[list, float]:
    """Returns the predictions of a network for each task, and the seconds."""
    row, predictions, seconds = rows.ROWS[job.row], [], 0.0
    for number, task in enumerate(tasks):
        keras.utils.set_random_seed(_seed(job, number))
        network = keras.Sequential([row.make_backbone(), row.head()])
        row.compile(network)
        seconds += _fit(network, job, task)
        predictions.append(_predict(network, task.test[0]))
    return predictions, seconds


def _seed(job: Job, number: int) -> int:
    return 1000 * job.seed + number


def _fit(model: keras.Model, job: Job, task: Task) -> float:
    callbacks = []
    if job.variant == "early_stopping":
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor="val_loss",
                patience=PATIENCE,
                restore_best_weights=True,
            )
        )
    start = time.perf_counter()
    model.fit(
        *task.train,
        batch_size=rows.ROWS[job.row].batch_size,
        epochs=job.epochs(),
        validation_data=task.validation,
        callbacks=callbacks,
        verbose=0,
    )
    return time.perf_counter() - start


def _predict(model: keras.Model, x: np.ndarray, **task: str) -> np.ndarray:
    return model.predict(x, batch_size=PREDICTION_BATCH, verbose=0, **task)


def compare(
    kind: str, y: np.ndarray, dense: np.ndarray | None, ours: np.ndarray
) -> dict[str, Any]:
    """Returns what a paired comparison needs to know of the test part."""
    if kind == rows.REGRESSION:
        return _compare_errors(y, dense, ours)
    right = _right(kind, y, ours)
    result = {"n": right.size, "ours": float(right.mean())}
    if dense is not None:
        dense_right = _right(kind, y, dense)
        result["dense"] = float(dense_right.mean())
        result["dense_only_right"] = int((dense_right & ~right).sum())
        result["ours_only_right"] = int((right & ~dense_right).sum())
    return result


def _right(kind: str, y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Returns for each label whether it was predicted."""
    if kind == rows.SEVERAL_LABELS:
        return ((predicted > 0.5) == (y > 0.5)).reshape(-1)
    return predicted.argmax(axis=-1) == y


def _compare_errors(y, dense, ours):
    """Returns R2, and sums over the squared errors of the examples.

    `..._squares` are the errors' sums. `products` are the sums of their
    products with themselves and with each other (ours, dense, both), of which
    a bootstrap learns how they vary together.
    """
    spread = float(((y - y.mean()) ** 2).sum())
    result, errors = {"n": len(y)}, []
    for name, predicted in (("ours", ours), ("dense", dense)):
        if predicted is not None:
            squares = ((predicted - y) ** 2).reshape(len(y), -1).sum(axis=1)
            errors.append(squares.astype("float64"))
            result[f"{name}_squares"] = float(errors[-1].sum())
            result[name] = 1.0 - result[f"{name}_squares"] / spread
    if dense is not None:
        pairs = ((0, 0), (1, 1), (0, 1))
        products = [float(errors[i] @ errors[j]) for i, j in pairs]
        result["products"] = products
    return result


def describe_kernels(model: tsn_keras.ContinualModel) -> dict[str, Any]:
    """Returns sparsity and bits, by kernel and over all, mean of the tasks."""
    usages = [model.bank.usage(task) for task in model.tasks]
    kernels = {
        of_tasks[0].path: {
            "sparsity": round(np.mean([k.sparsity for k in of_tasks]), 4),
            "bits": round(np.mean([k.width for k in of_tasks]), 2),
        }
        for of_tasks in zip(*usages)
    }
    everything = sum(usages, [])
    own = np.array([kernel.num_own for kernel in everything])
    used = own + [kernel.num_shared for kernel in everything]
    bits = own @ [kernel.width for kernel in everything]
    slots = sum(kernel.own.size for kernel in everything)
    return {
        "sparsity": 1.0 - float(used.sum()) / slots,
        "bits": float(bits) / max(1, int(own.sum())),
        "kernels": kernels,
    }
