"""Exports the tasks of a saved model, verifies and measures the files.

    python -m examples.export_tflite --model=/tmp/permuted_mnist/model.keras \\
        --precision=float32,dynamic_int8 --compression=auto,none --bundle \\
        --data_dir=/path/to/tfds --output_dir=/tmp/files

With `--data_dir`, or `--download`, files are calibrated, verified and scored on
the data of `--scenario`, which the model must have been trained on. Without,
they are verified on seeded random inputs. The row `dense` is ONE dense float32
network of the same architecture, the yardstick. The latency of a bundle is
that of the network that it puts out.

`--measure_again` only measures the files of an earlier run in `--output_dir`;
`--model` is not needed.
"""

import itertools
import json
import pathlib

import keras
import numpy as np
from absl import app, flags, logging

import tsn_keras
from tsn_keras import lite

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A saved .keras file.")
flags.DEFINE_list("task", [], "Names of tasks; all of them by default.")
flags.DEFINE_list(
    "precision", ["float32"], f"Any of: {', '.join(lite.PRECISIONS)}."
)
flags.DEFINE_list(
    "compression", ["auto"], f"Any of: {', '.join(lite.COMPRESSIONS)}."
)
flags.DEFINE_string("output_dir", "/tmp/export_tflite", "Where files go.")
flags.DEFINE_bool("bundle", False, "Whether to export one file of all tasks.")
flags.DEFINE_enum(
    "scenario",
    "permuted_mnist",
    ["permuted_mnist", "split_cifar100"],
    "What the model was trained on.",
)
flags.DEFINE_string("data_dir", None, "TFDS folder.")
flags.DEFINE_bool("download", False, "Whether to download the data.")
flags.DEFINE_integer("seed", 0, "Seed of the model's tasks.")
flags.DEFINE_integer("repetitions", 51, "Measurements of each file.")
flags.DEFINE_bool("measure_again", False, "Whether to only measure files.")

HEADER = ("file", "bytes", "of dense", "zlib", "accuracy", "equal")
HEADER += ("largest diff", "arena", "ms", "of dense", "select ms")


def load_tasks(model: keras.Model) -> dict:
    """Returns the tasks' real data by name, if there are any."""
    if FLAGS.data_dir is None and not FLAGS.download:
        return {}
    permuted = FLAGS.scenario == "permuted_mnist"
    data = tsn_keras.scenarios.ImageData.from_tfds(
        "mnist" if permuted else "cifar100",
        data_dir=FLAGS.data_dir,
        download=FLAGS.download,
    )
    if permuted:
        count = len(model.tasks)
        tasks = tsn_keras.scenarios.PermutedPixels(data, count, FLAGS.seed)
    else:
        tasks = tsn_keras.scenarios.ClassSplits(
            data, len(model.tasks), 10, seed=FLAGS.seed
        )
    return {task.name: task for task in tasks}


def export_formats(model, name: str, task, folder: pathlib.Path) -> list[dict]:
    """Exports a task in every precision and compression asked for."""
    rows = []
    forms = itertools.product(FLAGS.precision, FLAGS.compression)
    for precision, compression in forms:
        report = model.export(
            folder / f"{name}_{precision}_{compression}.tflite",
            format="litert",
            task=name,
            precision=precision,
            compression=compression,
            representative_data=task and task.validation,
            verification_data=task and task.test,
        )
        agreement = report.agreement
        rows.append(
            {
                "path": report.path,
                "accuracy": agreement.accuracy,
                "model_accuracy": agreement.model_accuracy,
                "equal": agreement.agreement,
                "largest_difference": agreement.largest_difference,
                "removed_units": report.removed_units,
            }
        )
    return rows


def export_bundle(model, names, tasks: dict, folder: pathlib.Path) -> dict:
    """Exports all tasks in one file, and scores each on its test set."""
    path = folder / "bundle.tflite"
    data = {name: tasks[name].validation for name in names if name in tasks}
    report = lite.export_bundle(model, path, names, verification_data=data)
    runner = lite.TaskRunner(path)
    equal, accuracies = [], []
    for name in names if tasks else ():
        x = np.concatenate([x for x, _ in tasks[name].test])
        y = np.concatenate([y for _, y in tasks[name].test])
        plain = folder / f".{name}_plain.tflite"
        lite.export_task(model, plain, name)
        runner.select(name)
        guesses = runner.predict(x).argmax(axis=-1)
        equal.append((guesses == lite.run_file(plain, x).argmax(-1)).mean())
        accuracies.append((guesses == y).mean())
        plain.unlink()
    agreements = report.agreements.values()
    return {
        "path": path,
        "weights": sum(kernel.size for kernel in model.switch.kernels),
        "accuracy": float(np.mean(accuracies)) if tasks else None,
        # With the task's own float32 file, over all of its test set.
        "equal": float(np.mean(equal)) if tasks else 1.0,
        "largest_difference": max(a.largest_difference for a in agreements),
    }


def print_table(rows: list[dict]) -> None:
    print(f"{HEADER[0]:<40}" + "".join(f"{name:>13}" for name in HEADER[1:]))
    dense = rows[0]
    for row in rows:
        accuracy = row.get("accuracy")
        cells = (
            f"{row['bytes']:,}",
            f"{row['bytes'] / dense['bytes']:.3f}",
            f"{row['compressed_bytes']:,}",
            f"{accuracy:.2%}" if accuracy is not None else "",
            f"{row['equal']:.2%}" if "equal" in row else "",
            f"{row.get('largest_difference', 0):.2g}",
            f"{row['arena_bytes']:,}",
            f"{row['latency_ms']:.4f}",
            f"{row['latency_ms'] / dense['latency_ms']:.2f}",
            f"{row['select_ms']:.3f}" if row["select_ms"] else "",
        )
        print(f"{row['path'].name:<40}" + "".join(f"{c:>13}" for c in cells))


def print_selection(row: dict) -> None:
    """Prints how long the selection of a task takes, by the bundle's size."""
    millions = row["weights"] / 1e6
    print(
        f"select: {row['select_ms'] / millions:.2f} ms per million weights, "
        f"and {row['load_ms'] / millions:.2f} to load the network put out, "
        f"of {row['network_bytes']:,} bytes"
    )


def print_growth(model, names: list[str], row: dict, folder) -> None:
    """Prints what tasks add to a bundle."""
    half = names[: max(1, min(10, len(names) // 2))]
    smaller = lite.export_bundle(model, folder / "bundle_part.tflite", half)
    packed = lite.packed_bytes(model.bank, names[len(half) :])
    growth = row["bytes"] - smaller.bytes
    print(
        f"bundle of {len(half)} tasks: {smaller.bytes:,} bytes, of "
        f"{len(names)}: {row['bytes']:,}; the growth of {growth:,} is "
        f"{growth / packed:.3f} of the packed bytes of the added tasks"
    )


def export_all(model, names: list[str], folder: pathlib.Path) -> list[dict]:
    """Exports the dense network, every task, and the bundle."""
    tasks = load_tasks(model)
    rows = [{"path": lite.export_dense(model, folder / "dense.tflite")}]
    for name in names:
        rows += export_formats(model, name, tasks.get(name), folder)
    if FLAGS.bundle:
        rows.append(export_bundle(model, names, tasks, folder))
    return rows


def measure(rows: list[dict], folder: pathlib.Path) -> None:
    """Adds measurements to the rows of files, prints and saves them."""
    paths = [row["path"] for row in rows]
    measured = lite.benchmark(paths, FLAGS.repetitions)
    for row, measurement in zip(rows, measured):
        row.update(vars(measurement))
    print_table(rows)
    if "weights" in rows[-1]:
        print_selection(rows[-1])
    report = [{**row, "path": str(row["path"])} for row in rows]
    (folder / "export.json").write_text(json.dumps(report, indent=2))


def main(_):
    logging.set_verbosity(logging.WARNING)
    folder = pathlib.Path(FLAGS.output_dir)
    if FLAGS.measure_again:
        rows = json.loads((folder / "export.json").read_text())
        measure([{**r, "path": pathlib.Path(r["path"])} for r in rows], folder)
        return
    if FLAGS.model is None:
        raise app.UsageError("Give a saved file, --model=PATH.")
    model = keras.models.load_model(FLAGS.model)
    folder.mkdir(parents=True, exist_ok=True)
    names = FLAGS.task or list(model.bank.tasks)
    rows = export_all(model, names, folder)
    measure(rows, folder)
    if FLAGS.bundle and len(names) > 1:
        print_growth(model, names, rows[-1], folder)


if __name__ == "__main__":
    app.run(main)
