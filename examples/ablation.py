"""What each mechanism is worth: each off in turn, all on, all off.

    python -m examples.ablation --output_dir=/tmp/ablation

The tasks are those of `examples.quickstart`: scikit-learn's real digits,
three similar tasks and three unrelated ones. Without any mechanism a second
task finds no room in the network: "all off" are dense networks, one a task.
Prints one table, and writes it as JSON and as a plot.
"""

import json
import pathlib
import time

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from examples import quickstart
from examples.progress import progress

FLAGS = flags.FLAGS
flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the runs.")

MECHANISMS = ("pruning", "quantization", "sharing")
# Which mechanisms are switched off.
VARIANTS = {
    "all on": (),
    "no pruning": ("pruning",),
    "no quantization": ("quantization",),
    "no sharing": ("sharing",),
    "all off": MECHANISMS,
}
Outcome = tuple[float, float, float]


def learn_all(seed: int, off: tuple[str, ...]) -> Outcome:
    """Learns all tasks; returns average accuracy, capacity and seconds."""
    keras.utils.set_random_seed(seed)
    tasks = quickstart.make_tasks(seed)
    if off == MECHANISMS:
        start = time.perf_counter()
        single = [quickstart.train_single(task, FLAGS.epochs) for task in tasks]
        return np.mean(single), len(tasks), time.perf_counter() - start
    model = quickstart.make_model(seed, **dict.fromkeys(off))
    steps = FLAGS.epochs * int(tasks[0].train.cardinality())
    quickstart.compile_model(model, steps)
    folder = pathlib.Path(FLAGS.output_dir) / str(seed) / "_".join(off or "-")
    run = tsn_keras.evaluation.ScenarioRun(model, tasks, folder, verbose=0)
    for task in tasks:
        run.learn(keras.layers.Dense(task.num_classes), epochs=FLAGS.epochs)
    report = run.finish(FLAGS.flag_values_dict())
    accuracy = report["metrics"]["average_accuracy"]
    return accuracy, report["capacity"]["fraction"], report["seconds"]


def summary(outcomes: list[Outcome]) -> dict:
    """Returns mean and standard deviation over seeds."""
    accuracy, capacity, seconds = np.transpose(outcomes)
    return {
        "accuracy": [np.mean(accuracy), np.std(accuracy)],
        "capacity": [np.mean(capacity), np.std(capacity)],
        "seconds": np.mean(seconds),
    }


def plot(rows: dict[str, dict], path: pathlib.Path) -> None:
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, row in rows.items():
        (x, dx), (y, dy) = row["capacity"], row["accuracy"]
        axes.errorbar(x, y, dy, dx, fmt="o", capsize=3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("capacity, of one dense float32 network")
    axes.set_ylabel("average accuracy")
    axes.legend()
    figure.savefig(path, dpi=150)


def main(_):
    logging.set_verbosity(logging.WARNING)
    folder = pathlib.Path(FLAGS.output_dir)
    print(f"{'variant':<18}{'accuracy':>18}{'capacity':>18}{'seconds':>9}")
    rows = {}
    for name, off in VARIANTS.items():
        with progress(len(FLAGS.seeds)) as bar:
            outcomes = []
            for seed in FLAGS.seeds:
                bar.begin(f"{name}, seed {seed}")
                outcomes.append(learn_all(int(seed), off))
                bar.end()
        row = rows[name] = summary(outcomes)
        accuracy, capacity = (
            "{:.2%} +- {:.2%}".format(*row[kind])
            for kind in ("accuracy", "capacity")
        )
        print(
            f"{name:<18}{accuracy:>18}{capacity:>18}{row['seconds']:>9.0f}",
            flush=True,
        )
    plot(rows, folder / "ablation.png")
    (folder / "ablation.json").write_text(json.dumps(rows, indent=2))
    print(f"everything in {folder}")


if __name__ == "__main__":
    app.run(main)
