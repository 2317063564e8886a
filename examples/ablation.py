"""What each mechanism is worth: each off in turn, all on, all off.

    python -m examples.ablation --output_dir=/tmp/ablation

The tasks are those of `examples.quickstart`: scikit-learn's real digits,
three similar tasks and three unrelated ones. Prints one table, and writes it
as JSON and as a plot.
"""

import json
import pathlib

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from examples import quickstart

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


def learn_all(seed: int, off: tuple[str, ...]) -> dict:
    """Learns all tasks without some mechanisms; returns the report."""
    keras.utils.set_random_seed(seed)
    tasks = quickstart.make_tasks(seed)
    model = quickstart.make_model(seed, **dict.fromkeys(off))
    steps = FLAGS.epochs * int(tasks[0].train.cardinality())
    quickstart.compile_model(model, steps)
    folder = pathlib.Path(FLAGS.output_dir) / str(seed) / "_".join(off or "-")
    run = tsn_keras.evaluation.ScenarioRun(model, tasks, folder)
    for task in tasks:
        run.learn(keras.layers.Dense(task.num_classes), epochs=FLAGS.epochs)
    return run.finish(FLAGS.flag_values_dict())


def summary(reports: list[dict]) -> dict:
    """Returns mean and standard deviation over seeds."""
    accuracy = [r["metrics"]["average_accuracy"] for r in reports]
    capacity = [r["capacity"]["fraction"] for r in reports]
    return {
        "accuracy": [np.mean(accuracy), np.std(accuracy)],
        "capacity": [np.mean(capacity), np.std(capacity)],
        "seconds": np.mean([r["seconds"] for r in reports]),
        "bit_exact": all(r["bit_exact"] for r in reports),
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
        reports = [learn_all(int(seed), off) for seed in FLAGS.seeds]
        row = rows[name] = summary(reports)
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
