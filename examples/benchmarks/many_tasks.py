"""What grows with the number of tasks, in one process.

A small MLP learns scikit-learn's digits, their pixels in another order in each
task. At some numbers of tasks it is compared, in turn, with the same model as
it was after ten tasks. `--output_dir` gets a table and a plot, too.
"""

import ctypes
import functools
import gc
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
from absl import flags
from keras import layers

import tsn_keras
from examples.benchmarks.comparison import compare, seconds_of

FLAGS = flags.FLAGS

FIRST = 10
MILESTONES = (20, 50, 100, 150, 200)
GOAL = 1.2
BATCH_SIZE = 32
TRAINING, VALIDATION = slice(0, 1200), slice(1200, 1600)


@functools.cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.float32(x / 16), y


def digits(number: int, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Returns images and labels of a task."""
    x, y = _digits()
    order = np.random.default_rng(number).permutation(x.shape[1])
    return x[rows][:, order], y[rows]


def make_model() -> tsn_keras.ContinualModel:
    hidden = [layers.Dense(64, activation="relu") for _ in range(2)]
    model = tsn_keras.ContinualModel(
        keras.Sequential([keras.Input((64,)), *hidden]),
        pruning=tsn_keras.pruning.MagnitudePruning(0.95),
        quantization=tsn_keras.quantization.AdaptiveCodebook(
            min_width=1, max_width=2, fine_tune_steps=20
        ),
        sharing=tsn_keras.sharing.ActivationSimilarity(doubt=0.0),
        seed=0,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(3e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def begin(model: tsn_keras.ContinualModel, rows: slice = TRAINING) -> None:
    """Adds a task, and trains it on some rows."""
    number = len(model.tasks)
    model.add_task(f"task_{number}", layers.Dense(10))
    train(model, number, rows)


def train(
    model: tsn_keras.ContinualModel, number: int, rows: slice = TRAINING
) -> None:
    model.fit(*digits(number, rows), batch_size=BATCH_SIZE, verbose=0)


def consolidate(model: tsn_keras.ContinualModel) -> None:
    number = len(model.tasks) - 1
    model.consolidate(digits(number, VALIDATION), verbose=0)


def learn(model: tsn_keras.ContinualModel, count: int) -> Iterable[float]:
    """Learns tasks up to a number; yields the seconds of consolidations."""
    while len(model.tasks) < count:
        begin(model)
        yield seconds_of(lambda: consolidate(model))


def _start(model: tsn_keras.ContinualModel) -> None:
    """A task's start: plane, masks, values, one step."""
    begin(model, slice(0, BATCH_SIZE))
    model.discard_task()


def _actions(
    model: tsn_keras.ContinualModel, folder: str
) -> dict[str, Callable[[], object]]:
    """Returns what users do with a model of consolidated tasks."""
    path = pathlib.Path(folder) / f"{len(model.tasks)}.keras"
    x, _ = digits(0, slice(0, 64))
    first, last = model.tasks[FIRST // 2], model.tasks[-1]

    def predict(task):
        return lambda: model.predict(x, task=task, verbose=0)

    def predict_anew():
        model.switch.clear_views()
        model.predict(x, task=first, verbose=0)

    return {
        "prediction of an early task": predict(first),
        "prediction of the latest task": predict(last),
        "prediction after loading": predict_anew,
        "save": lambda: model.save(path),
        "capacity": model.capacity,
        "report of the latest task": lambda: model.report(last),
        "start of a task": lambda: _start(model),
    }


def resident_bytes() -> int:
    """Returns what the process holds in memory, garbage left out."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def _memory(model: tsn_keras.ContinualModel) -> dict[str, float]:
    # A cache of its own, with a bound that so small tasks do not reach.
    model.switch.clear_views()
    resident, bank = resident_bytes(), len(model.bank.to_bytes())
    return {
        "name": f"memory at {len(model.tasks)} tasks",
        "mebibytes_beside_bank": (resident - bank) / 2**20,
        "bank_bytes": bank,
        "objects": len(gc.get_objects()),
    }


def measure(
    milestones: Sequence[int], repetitions: int, first: int = FIRST
) -> list[dict]:
    """Learns tasks, and compares at each milestone with the first one."""
    model, results = make_model(), []
    list(learn(model, first))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "first.keras"
        model.save(path)
        few = keras.models.load_model(path)
        for count in (first, *milestones):
            seconds = list(learn(model, count))
            pairs = zip(
                _actions(model, folder).items(),
                _actions(few, folder).values(),
            )
            for (name, ours), baseline in pairs:
                row = compare(f"{name}, {count}", ours, baseline, repetitions)
                results.append({**row, "tasks": count})
            results.append({**_steps(model, few, repetitions), "tasks": count})
            results.append({**_memory(model), "tasks": count})
            print(results[-1], flush=True)
            if seconds:
                results[-1]["consolidation_seconds"] = float(
                    np.median(seconds[-10:])
                )
    return results


def _steps(
    model: tsn_keras.ContinualModel,
    few: tsn_keras.ContinualModel,
    repetitions: int,
) -> dict:
    """Compares the training of the next task of each, step by step."""
    count = len(model.tasks)
    for one in (model, few):
        begin(one)
    steps = -(-(TRAINING.stop - TRAINING.start) // BATCH_SIZE)
    row = compare(
        f"training step, {count}",
        lambda: train(model, len(model.tasks) - 1),
        lambda: train(few, len(few.tasks) - 1),
        repetitions,
        steps,
    )
    for one in (model, few):
        one.discard_task()
    return row


def _table(results: list[dict]) -> str:
    """Returns the ratios, and what the memory holds, as a table for docs."""
    counts = sorted({row["tasks"] for row in results})
    rows = [["tasks", *map(str, counts)], ["---"] * (len(counts) + 1)]
    for name, ratios in _ratios(results).items():
        first = ratios[0][2]
        cells = [f"{ratio:.2f}" for _, ratio, _ in ratios]
        rows.append([f"{name} ({first:.3g} ms at {counts[0]})", *cells])
    memory = [row for row in results if "objects" in row]
    megabytes = [f"{row['mebibytes_beside_bank']:.0f}" for row in memory]
    rows.append(["memory beside the bank, MiB", *megabytes])
    kilobytes = [f"{row['bank_bytes'] / 1e3:.0f}" for row in memory]
    rows.append(["bank, kB", *kilobytes])
    rows.append(["Python objects", *(f"{r['objects']:,}" for r in memory)])
    seconds = [row.get("consolidation_seconds") for row in memory]
    cells = ["" if s is None else f"{s:.2f}" for s in seconds]
    rows.append(["consolidation of a task, s", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _ratios(results: list[dict]) -> dict[str, list[tuple[int, float, float]]]:
    """Returns tasks, ratio and milliseconds of each measurement, by name."""
    found: dict[str, list] = {}
    for row in results:
        if "ratio" in row:
            name = row["name"].rpartition(",")[0]
            entry = row["tasks"], row["ratio"], row["ours_ms"]
            found.setdefault(name, []).append(entry)
    return found


def plot(results: list[dict], path: pathlib.Path) -> None:
    """Draws the ratios, and the memory beside the bank."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    times, memory = figure.subplots(1, 2)
    for name, entries in _ratios(results).items():
        counts, ratios, _ = zip(*entries)
        times.plot(counts, ratios, marker="o", markersize=3, label=name)
    times.axhline(GOAL, color="grey", linestyle="--", linewidth=1)
    times.set(xlabel="tasks", ylabel="time over that with ten tasks")
    times.set_ylim(0, None)
    times.legend(fontsize=7)
    rows = [row for row in results if "objects" in row]
    counts = [row["tasks"] for row in rows]
    resident = [row["mebibytes_beside_bank"] for row in rows]
    memory.plot(counts, resident, marker="o", label="beside the bank")
    bank = [row["bank_bytes"] / 2**20 for row in rows]
    memory.plot(counts, bank, marker="o", label="bank")
    memory.set(xlabel="tasks", ylabel="MiB in the process")
    memory.set_ylim(0, None)
    memory.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def run(repetitions: int) -> list[dict]:
    """Returns one result for each measurement; writes table and plot.

    Args:
        repetitions: int, measurements of each side.
    """
    count = FLAGS.num_tasks or MILESTONES[-1]
    milestones = [number for number in MILESTONES if number < count]
    results = measure([*milestones, count], repetitions)
    folder = pathlib.Path(FLAGS.output_dir)
    (folder / "many_tasks.md").write_text(_table(results), encoding="utf-8")
    print(_table(results))
    plot(results, folder / "many_tasks.png")
    return results
