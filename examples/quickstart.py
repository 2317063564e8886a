"""Learns six tasks from handwritten digits and ships them as small files.

    python -m examples.quickstart --output_dir=/tmp/quickstart

Three tasks show scikit-learn's 1,797 real digits turned by 0, 10 and 20
degrees: similar tasks, which may share weights. Three show them with their
pixels in other orders: unrelated tasks. Nothing is downloaded.
"""

import pathlib
import time

import keras
import numpy as np
from absl import app, flags, logging
from sklearn.datasets import load_digits

import tsn_keras
from examples.progress import progress
from tsn_keras import lite

FLAGS = flags.FLAGS
flags.DEFINE_string("output_dir", "/tmp/quickstart", "Where all files go.")
flags.DEFINE_integer("epochs", 20, "Epochs a task.")
flags.DEFINE_integer("seed", 0, "Seed of everything random.")


def make_tasks(seed: int) -> list[tsn_keras.scenarios.Task]:
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    images = np.float32(digits.images[order] / 16.0)
    labels = digits.target[order]
    data = tsn_keras.scenarios.ImageData.from_arrays(
        (images[:1347], labels[:1347]), (images[1347:], labels[1347:])
    )
    rotated = tsn_keras.scenarios.RotatedImages(
        data, angles=(0, 10, 20), seed=seed, validation_split=0.2, flatten=True
    )
    permuted = tsn_keras.scenarios.PermutedPixels(
        data, num_tasks=4, seed=seed, validation_split=0.2
    )
    # Permutation 0 is the identity, which is rotation 0 already.
    return [*rotated, *permuted[1:]]


def make_backbone() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, activation="relu", name="hidden_1"),
            keras.layers.Dense(128, activation="relu", name="hidden_2"),
        ]
    )


def compile_model(model: keras.Model, steps: int) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(
        optimizer=keras.optimizers.Adam(schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def make_model(seed: int, **mechanisms) -> tsn_keras.ContinualModel:
    """Returns the model; `mechanisms` replace pruning and the like."""
    return tsn_keras.ContinualModel(make_backbone(), seed=seed, **mechanisms)


def train_single(task: tsn_keras.scenarios.Task, epochs: int) -> float:
    """Trains a dense network of its own on one task, for comparison."""
    model = keras.Sequential([make_backbone(), keras.layers.Dense(10)])
    compile_model(model, epochs * task.train.cardinality().numpy())
    model.fit(task.train, epochs=epochs, shuffle=False, verbose=0)
    return model.evaluate(task.test, return_dict=True, verbose=0)["accuracy"]


def export_task(model, task: tsn_keras.scenarios.Task, path) -> dict:
    """Exports a task, and runs its file on the test set."""
    exported = model.export(path, format="litert", task=task.name)
    x = np.concatenate([x for x, _ in task.test])
    agreement = lite.verify_file(model, path, x, task.name)
    return {
        "file": path.name,
        "bytes": exported.bytes,
        "dense_bytes": exported.dense_bytes,
        "predictions_equal": agreement.predictions_equal,
        "largest_difference": agreement.largest_difference,
    }


def row(report, accuracy: float, dense: float, file: dict) -> str:
    """Returns what is printed of a task."""
    bits = "/".join(map(str, report.bits.values()))
    return (
        f"{report.name:<15}{report.plane:>6}{sum(report.own.values()):>6}"
        f"{sum(report.shared.values()):>7}{bits:>6}{accuracy:>10.2%}"
        f"{dense:>8.2%}{file['bytes']:>9,}"
        f"{file['bytes'] / file['dense_bytes']:>10.0%}"
    )


HEADER = (
    f"{'task':<15}{'plane':>6}{'own':>6}{'shared':>7}{'bits':>6}"
    f"{'accuracy':>10}{'dense':>8}{'file':>9}{'of dense':>10}"
)


def print_results(report: dict, single: list, bundle) -> None:
    files, dense = report["files"], bundle.dense_bytes
    sizes = {
        f"{len(files)} dense networks": sum(f["dense_bytes"] for f in files),
        f"{len(files)} task files": sum(f["bytes"] for f in files),
        "one bundle of all": bundle.bytes,
        "the bank": report["capacity"]["total_bytes"],
    }
    metrics = report["metrics"]
    print(
        f"average accuracy {metrics['average_accuracy']:.2%}, dense networks "
        f"{np.mean(single):.2%}; backward transfer "
        f"{metrics['backward_transfer']:.4f}\n"
        f"bit-exact after save and load: {report['bit_exact']}"
    )
    for name, size in sizes.items():
        print(f"{name:<20}{size:>9,} bytes{size / dense:>6.2f} dense files")


def main(_):
    logging.set_verbosity(logging.WARNING)
    start = time.perf_counter()
    keras.utils.set_random_seed(FLAGS.seed)
    tasks = make_tasks(FLAGS.seed)
    folder = pathlib.Path(FLAGS.output_dir)
    model = make_model(FLAGS.seed)
    compile_model(model, FLAGS.epochs * tasks[0].train.cardinality().numpy())

    run = tsn_keras.evaluation.ScenarioRun(
        model, tasks, folder, verbose=0
    )
    single, files = [], []
    print(HEADER, flush=True)
    with progress(len(tasks) + 1) as bar:
        for index, task in enumerate(tasks):
            bar.begin(task.name)
            head = keras.layers.Dense(task.num_classes)
            learned = run.learn(head, epochs=FLAGS.epochs)
            single.append(train_single(task, FLAGS.epochs))
            path = folder / f"{task.name}.tflite"
            files.append(export_task(model, task, path))
            accuracy = run.matrix.values[index, index]
            bar.end(row(learned, accuracy, single[-1], files[-1]))
        # With the model as it was saved.
        bar.begin("all tasks together")
        saved = tsn_keras.evaluation.ScenarioRun(
            model, tasks, folder, resume=True, verbose=0
        )
        bundle = lite.export_bundle(saved.model, folder / "all_tasks.tflite")
        report = saved.finish(FLAGS.flag_values_dict(), single, files=files)
        bar.end()
    print_results(report, single, bundle)
    seconds = time.perf_counter() - start
    print(f"{seconds:.0f} s; everything in {folder}")


if __name__ == "__main__":
    app.run(main)
