"""Exports all tasks of a model to one file for microcontrollers.

    python -m examples.export_micro --model=/tmp/permuted/model.keras \\
        --data_dir=/path/to/tfds --output_dir=/tmp/micro

The model is one of `examples.permuted_mnist` (`--settings=recipe` for the
figures of docs/lite.md). Without `--model` it is a small network with depthwise
convolutions that learns to tell real digits of 8x8 pixels in two tasks, 0 to 4
and 5 to 9.

Each row is one file: with weights as they are, as look-up tables, as bitmaps
with values, and as whatever of these is the smallest for each tensor. The files
are run by TFLite for Microcontrollers' own interpreter (`pip install
tflite_micro`), on `--samples` test examples of each task: their outputs must
equal those of each task's int8 file to the bit. One line of JSON for each file
goes to `--results`. Times are the shortest of fifty, and include Python's part.
"""

import json
import pathlib
import time

import keras
import numpy as np
from absl import app, flags, logging
from sklearn.datasets import load_digits

import tsn_keras
from tsn_keras import lite

FLAGS = flags.FLAGS
flags.DEFINE_string("model", None, "A saved .keras file; None for digits.")
flags.DEFINE_string("data_dir", None, "TFDS folder with MNIST.")
flags.DEFINE_string("output_dir", "/tmp/export_micro", "Where files go.")
flags.DEFINE_string("results", None, "A file that gets a line for each row.")
flags.DEFINE_integer("samples", 1000, "Test examples of each task.")
flags.DEFINE_integer("epochs", 30, "Epochs of each task of digits.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")

FORMS = {
    "plain": ("plain",),
    "lookup": ("lookup", "plain"),
    "bitmap": ("bitmap", "plain"),
    "smallest": ("bitmap", "lookup", "plain"),
}
ROUNDS, BATCH = 50, 20
HEADER = ("file", "flash", "of dense", "arena", "largest", "int8", "keras")
HEADER += ("ms",)


def digits() -> dict[str, tuple]:
    """Returns training, validation and test data of two tasks."""
    data = load_digits()
    images, labels = np.float32(data.images / 16)[..., None], data.target
    tasks = {}
    for name, first in (("low", 0), ("high", 5)):
        chosen = (labels >= first) & (labels < first + 5)
        x, y = images[chosen], labels[chosen] - first
        tasks[name] = ((x[:500], y[:500]), (x[500:700], y[500:700]))
        tasks[name] += ((x[700:], y[700:]),)
    return tasks


def train_on_digits(tasks: dict[str, tuple]) -> keras.Model:
    """Returns a small network with depthwise convolutions that knows both."""
    keras.utils.set_random_seed(FLAGS.seed)
    layers = keras.layers
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(32, 1, activation="relu"),
            layers.MaxPooling2D(),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(64, 1, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
        ]
    )
    model = tsn_keras.ContinualModel(backbone, seed=FLAGS.seed)
    model.compile(
        keras.optimizers.Adam(0.003),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    for name, (train, validation, _) in tasks.items():
        model.add_task(name, head=keras.layers.Dense(5))
        model.fit(
            *train,
            validation_data=validation,
            epochs=FLAGS.epochs,
            verbose=0,
        )
        model.consolidate(validation, verbose=0)
    return model


def permuted(model: keras.Model) -> dict[str, tuple]:
    """Returns the data of the tasks that a saved model has learned."""
    data = tsn_keras.scenarios.ImageData.from_tfds(
        "mnist", data_dir=FLAGS.data_dir, download=False
    )
    tasks = tsn_keras.scenarios.PermutedPixels(
        data, len(model.tasks), FLAGS.seed
    )
    return {
        task.name: tuple(map(arrays, (task.validation, task.test)))
        for task in tasks
    }


def arrays(dataset) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first examples of a dataset of batches."""
    parts = [
        np.concatenate(part)
        for part in zip(*dataset.unbatch().batch(500).take(4))
    ]
    return tuple(part[: FLAGS.samples] for part in parts)


def measure(model, tasks: dict[str, tuple], form: str) -> dict:
    """Exports all tasks with one form of weights, and runs each."""
    path = pathlib.Path(FLAGS.output_dir) / f"{form}.tflite"
    report = lite.export_micro_bundle(
        model,
        path,
        list(tasks),
        representative_data={n: data[-2][0] for n, data in tasks.items()},
        verification_data={n: data[-1] for n, data in tasks.items()},
        forms=FORMS[form],
    )
    found = list(report.agreements.values())
    return {
        "form": form,
        "tasks": len(tasks),
        "file_bytes": report.bytes,
        "dense_bytes": report.dense_bytes,
        "plain_files_bytes": report.plain_bytes,
        "fraction": round(report.fraction, 4),
        **report.figures.to_dict(),
        "samples": min(len(data[-1][0]) for data in tasks.values()),
        "accuracy": float(np.mean([each.accuracy for each in found])),
        "keras_accuracy": float(
            np.mean([each.model_accuracy for each in found])
        ),
    }


def add_times(rows: list[dict], tasks: dict[str, tuple]) -> None:
    """Measures a prediction of each file, in turn: others use the machine."""
    name = next(iter(tasks))
    x = tasks[name][-1][0][:BATCH]
    runners = [
        lite.MicroRunner(pathlib.Path(FLAGS.output_dir, f"{form}.tflite"))
        for form in FORMS
    ]
    seconds = []
    for _ in range(ROUNDS):
        for runner in runners:
            start = time.perf_counter()
            runner.predict(x, task=name)
            seconds.append((time.perf_counter() - start) / len(x))
    fastest = np.reshape(seconds, (ROUNDS, -1)).min(axis=0)
    for row, each in zip(rows, fastest):
        row["milliseconds"] = round(1000 * float(each), 4)


def measure_one(model, name: str, data: tuple) -> dict:
    """Exports one task, plain and compressed."""
    sizes = {}
    for compression in ("none", "micro"):
        path = pathlib.Path(FLAGS.output_dir) / f"one_{compression}.tflite"
        report = model.export(
            path,
            format="litert",
            task=name,
            precision="int8",
            compression=compression,
            representative_data=data[-2][0],
            verification_data=data[-1],
        )
        sizes[compression] = report.bytes
    return {
        "form": "one task",
        "task": name,
        "file_bytes": report.bytes,
        "plain_file_bytes": sizes["none"],
        "of_plain": round(report.bytes / sizes["none"], 4),
        **report.micro.to_dict(),
    }


def print_table(rows: list[dict]) -> None:
    print("".join(f"{name:>12}" for name in HEADER))
    for row in rows:
        cells = (
            row["form"],
            f"{row['flash_bytes']:,}",
            f"{row['fraction']:.3f}",
            f"{row['arena_bytes']:,}",
            f"{row['largest_layer']:,}",
            f"{row['accuracy']:.2%}",
            f"{row['keras_accuracy']:.2%}",
            f"{row['milliseconds']:.3f}",
        )
        print("".join(f"{cell:>12}" for cell in cells))


def main(_):
    logging.set_verbosity(logging.WARNING)
    pathlib.Path(FLAGS.output_dir).mkdir(parents=True, exist_ok=True)
    if FLAGS.model is None:
        tasks = digits()
        model = train_on_digits(tasks)
    else:
        model = keras.models.load_model(FLAGS.model)
        tasks = permuted(model)
    rows = [measure(model, tasks, form) for form in FORMS]
    add_times(rows, tasks)
    print_table(rows)
    name = next(iter(tasks))
    one = measure_one(model, name, tasks[name])
    print(
        f"one task: {one['file_bytes']:,} bytes, {one['of_plain']:.3f} of its "
        f"plain int8 file's {one['plain_file_bytes']:,}"
    )
    network = "digits" if FLAGS.model is None else "permuted_mnist"
    if FLAGS.results:
        with open(FLAGS.results, "a") as file:
            for row in [*rows, one]:
                file.write(json.dumps({"network": network, **row}) + "\n")
    path = pathlib.Path(FLAGS.output_dir) / "smallest.tflite"
    print(*lite.export_c_array(path), sep="\n")


if __name__ == "__main__":
    app.run(main)
