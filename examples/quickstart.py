"""Learns six tasks from handwritten digits and ships each as a file.

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


def export_tasks(model, tasks, folder: pathlib.Path) -> list[dict]:
    """Exports every task and runs each file on the test set."""
    rows = []
    for task in tasks:
        path = folder / f"{task.name}.tflite"
        model.export(path, format="litert", task=task.name, verbose=0)
        x = np.concatenate([x for x, _ in task.test])
        y = np.concatenate([y for _, y in task.test])
        agreement = tsn_keras.lite.verify_file(model, path, x, task.name)
        accuracy = (agreement.logits.argmax(axis=-1) == y).mean()
        rows.append(
            {
                "file": path.name,
                "bytes": path.stat().st_size,
                "accuracy": accuracy,
                "predictions_equal": agreement.predictions_equal,
                "largest_difference": agreement.largest_difference,
            }
        )
    return rows


def main(_):
    logging.set_verbosity(logging.WARNING)
    start = time.perf_counter()
    keras.utils.set_random_seed(FLAGS.seed)
    tasks = make_tasks(FLAGS.seed)
    folder = pathlib.Path(FLAGS.output_dir)
    model = make_model(FLAGS.seed)
    compile_model(model, FLAGS.epochs * tasks[0].train.cardinality().numpy())

    run = tsn_keras.evaluation.ScenarioRun(model, tasks, folder)
    single = []
    print(f"{'task':<16}{'plane':>6}{'own':>7}{'shared':>7}{'bits':>8}", end="")
    print(f"{'accuracy':>10}{'dense':>8}{'bits equal':>12}{'file':>10}")
    for task in tasks:
        run.learn(keras.layers.Dense(task.num_classes), epochs=FLAGS.epochs)
        single.append(train_single(task, FLAGS.epochs))

    # With the model as it was saved.
    run = tsn_keras.evaluation.ScenarioRun(model, tasks, folder, resume=True)
    files = export_tasks(run.model, tasks, folder)
    report = run.finish(FLAGS.flag_values_dict(), single, files=files)
    for index, (entry, file) in enumerate(zip(report["tasks"], files)):
        bits = "/".join(map(str, entry["bits"].values()))
        print(
            f"{entry['name']:<16}{entry['plane']:>6}"
            f"{sum(entry['own'].values()):>7}"
            f"{sum(entry['shared'].values()):>7}{bits:>8}"
            f"{run.matrix.values[-1, index]:>10.2%}{single[index]:>8.2%}"
            f"{str(file['predictions_equal']):>12}{file['bytes']:>10,}"
        )
    metrics, capacity = report["metrics"], report["capacity"]
    print(
        f"average accuracy {metrics['average_accuracy']:.2%}, single dense "
        f"networks {np.mean(single):.2%}; backward transfer "
        f"{metrics['backward_transfer']:.4f}; bit-exact after save and load: "
        f"{report['bit_exact']}\n"
        f"capacity {capacity['total_bytes']:,} bytes, "
        f"{capacity['fraction']:.1%} of one dense network; "
        f"{time.perf_counter() - start:.0f} s; everything in {folder}"
    )


if __name__ == "__main__":
    app.run(main)
