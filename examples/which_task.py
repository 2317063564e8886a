"""Which task is it? Prediction without a task's name.

    python -m examples.permuted_mnist --output_dir=/tmp/permuted
    python -m examples.which_task --model=/tmp/permuted/model.keras

learns what tells the tasks of that model apart, one after the other for each
kind of `inference`, and prints how often the right task is found (and the right
class with it), for single images and for eight of one task together; what it
takes of capacity; how well images of tasks that were not learned are told from
those that were (area under the ROC curve); which tasks are mistaken for which;
and the time, in calls of `model.task(name)` and of `predict`.
`--scenario=split_cifar100` and `--scenario=quickstart` are for what those
examples have saved, with the same `--seed`. With `--results` each row is a line
of JSON in that file, too.
`--learn_tasks=100` learns so many permuted tasks first, for one epoch each and
without looking back, in layers of `--units`, and saves them as `--model`.
"""

import pathlib
import time
from collections.abc import Callable

import keras
import numpy as np
from absl import app, flags
from sklearn.metrics import roc_auc_score

import tsn_keras
from examples import quickstart
from examples.beside_dense.results import Results
from examples.progress import progress
from tsn_keras.inference import Confidence, InputMeans

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS folder; None to download.")
flags.DEFINE_string(
    "model", "/tmp/permuted/model.keras", "What the example has saved."
)
flags.DEFINE_enum(
    "scenario",
    "permuted_mnist",
    ["permuted_mnist", "split_cifar100", "quickstart"],
    "The example that has saved it.",
)
flags.DEFINE_integer("learn_tasks", 0, "Tasks to learn first; 0 for none.")
flags.DEFINE_integer("units", 100, "Of each layer that learns them.")
flags.DEFINE_integer("num_unknown", 5, "Tasks that were not learned.")
flags.DEFINE_integer("num_images", 1000, "Test images of each task.")
flags.DEFINE_string("results", None, "File of JSON lines; None for none.")

KINDS = {
    "confidence": [Confidence()],
    "means of 1 bit": [InputMeans(width=1)],
    "means of 4 bits": [InputMeans(width=4)],
    "means of 1 bit + confidence": [InputMeans(width=1), Confidence()],
    "means of 4 bits + confidence": [InputMeans(width=4), Confidence()],
    "means of 8 bits + confidence": [InputMeans(width=8), Confidence()],
}
flags.DEFINE_multi_enum("kind", list(KINDS), list(KINDS), "Rows to measure.")
TOGETHER = 8
BATCH = 256
REPETITIONS = 10
# The most tasks whose confusion is shown and stored.
MOST_SHOWN = 10
HEADER = (
    "| inference | capacity more | task, single | worst task | class, single | "
    f"task, {TOGETHER} together | unknown, AUC | views | predictions |"
)


def load_tasks(count: int) -> list[tsn_keras.scenarios.Task]:
    """Returns the tasks of the example, as many as it has at most."""
    if FLAGS.scenario == "quickstart":
        return quickstart.make_tasks(FLAGS.seed)[:count]
    name = {"permuted_mnist": "mnist", "split_cifar100": "cifar100"}
    data = tsn_keras.scenarios.ImageData.from_tfds(
        name[FLAGS.scenario],
        data_dir=FLAGS.data_dir,
        download=FLAGS.data_dir is None,
    )
    if FLAGS.scenario == "permuted_mnist":
        return list(
            tsn_keras.scenarios.PermutedPixels(
                data, count, FLAGS.seed, batch_size=BATCH
            )
        )
    tasks = tsn_keras.scenarios.ClassSplits(
        data, 10, 10, seed=FLAGS.seed, validation_split=0.05
    )
    return list(tasks)[:count]


def learn(tasks: list[tsn_keras.scenarios.Task]) -> tsn_keras.ContinualModel:
    """Learns tasks in an MLP, one epoch each."""
    keras.utils.set_random_seed(FLAGS.seed)
    stages = [
        keras.layers.Dense(FLAGS.units, activation="silu") for _ in range(2)
    ]
    backbone = keras.Sequential([keras.Input((784,)), *stages])
    model = tsn_keras.ContinualModel(backbone, seed=FLAGS.seed)
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    with progress(len(tasks)) as bar:
        for task in tasks:
            bar.begin(task.name)
            model.add_task(task.name, head=keras.layers.Dense(10))
            model.fit(task.train, epochs=1, shuffle=False, verbose=0)
            report = model.consolidate(task.validation, verbose=0)
            bar.end(f"{task.name}: {report.quality_after:.2%} validated")
    return model


def arrays(data, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first examples of a data set."""
    parts = list(data.unbatch().batch(count).take(1).as_numpy_iterator())
    return parts[0]


def measure(
    model: tsn_keras.ContinualModel, tests: dict, unknown: list
) -> dict:
    """Returns accuracies and times of the model's present `inference`."""
    confusion, classes, together, strange = [], [], [], []
    names = list(tests)
    for name, (x, y) in tests.items():
        found = model.infer_task(x)
        confusion.append([np.mean(found.nearest == other) for other in names])
        outputs = model.predict(x, task="infer", verbose=0)
        classes.append((outputs.argmax(axis=-1) == y).mean())
        strange.append(found.unlikeness)
        # The most likely task of several is that of the product.
        chances = np.log(np.maximum(found.likelihood, 1e-300))
        groups = len(x) // TOGETHER
        chances = chances[: groups * TOGETHER].reshape(groups, TOGETHER, -1)
        best = chances.sum(axis=1).argmax(axis=1)
        together.append(np.array(found.names)[best] == name)
    right = np.diag(confusion)
    result = {
        "single": float(np.mean(right)),
        "worst": float(right.min()),
        "class": float(np.mean(classes)),
        "together": float(np.mean(np.concatenate(together))),
        "auc": None,
        "confusion": np.round(confusion, 4).tolist(),
    }
    result["views"], result["predictions"] = _times(model, x[:BATCH])
    if unknown:
        new = [model.infer_task(x).unlikeness for x in unknown]
        known = np.concatenate(strange)
        labels = np.repeat([0, 1], [len(known), sum(map(len, new))])
        found = np.concatenate([known, *new])
        result["auc"] = float(roc_auc_score(labels, found))
    return result


def _times(
    model: tsn_keras.ContinualModel, x: np.ndarray
) -> tuple[float, float]:
    """Returns the time to infer the task, in calls of a view and `predict`.

    For so few examples most of the time of `predict` is its own, and most of a
    view's is the network's. Where a score needs no predictions, it leaves two
    tasks to predict.
    """
    name = model.tasks[0]
    view = model.task(name)
    is_cheap = [not score.needs_outputs for score in model.inference]
    most = 2 if any(is_cheap) else None
    infer, call, predict = (
        _seconds(function)
        for function in (
            lambda: model.infer_task(x, max_tasks=most),
            lambda: np.asarray(view(x)),
            lambda: model.predict(x, BATCH, verbose=0, task=name),
        )
    )
    return infer / call, infer / predict


def _seconds(call: Callable) -> float:
    """Returns the median time of a call that was made before."""
    times = []
    for _ in range(REPETITIONS + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def row(kind: str, found: dict) -> str:
    auc = "" if found["auc"] is None else f"{found['auc']:.3f}"
    return (
        f"| {kind} | {100 * found['capacity']:.2f} points | "
        f"{found['single']:.2%} | {found['worst']:.2%} | "
        f"{found['class']:.2%} | {found['together']:.2%} | {auc} | "
        f"{found['views']:.1f} | {found['predictions']:.2f} |"
    )


def print_confusion(names: list[str], confusion: list[list[float]]) -> None:
    """Prints which tasks are mistaken for which, if there are few."""
    if len(names) > MOST_SHOWN:
        return
    print("of the images of each task (a row), found as each (a column), in %:")
    for name, found in zip(names, confusion):
        cells = "".join(f"{100 * part:6.1f}" for part in found)
        print(f"{name[:20]:<20}{cells}")


def main(_) -> None:
    if FLAGS.learn_tasks:
        tasks = load_tasks(FLAGS.learn_tasks + FLAGS.num_unknown)
        learn(tasks[: FLAGS.learn_tasks]).save(FLAGS.model)
    model = keras.models.load_model(FLAGS.model)
    names = list(model.tasks)
    tasks = load_tasks(len(names) + FLAGS.num_unknown)
    tests = {n: arrays(t.test, FLAGS.num_images) for n, t in zip(names, tasks)}
    unknown = [
        arrays(task.test, FLAGS.num_images)[0] for task in tasks[len(names) :]
    ]
    exact = np.mean(
        [
            (model.predict(x, task=n, verbose=0).argmax(axis=-1) == y).mean()
            for n, (x, y) in tests.items()
        ]
    )
    print(f"with the task's name: {exact:.2%}")
    print(HEADER)
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    model.inference = None
    for name in names:
        model.bank.set_inference(name, (), {})
    before = model.capacity().fraction
    for kind in FLAGS.kind:
        model.inference = KINDS[kind]
        for name, task in zip(names, tasks):
            model.learn_inference(name, task.validation)
        found = measure(model, tests, unknown)
        found["capacity"] = model.capacity().fraction - before
        print(row(kind, found), flush=True)
        if FLAGS.results:
            identity = {
                "row": f"{FLAGS.scenario}, {len(names)} tasks",
                "variant": kind,
                "seed": FLAGS.seed,
                "fold": 0,
                "settings": {
                    "num_images": FLAGS.num_images,
                    "units": FLAGS.units if FLAGS.learn_tasks else None,
                },
            }
            if len(names) > MOST_SHOWN:
                del found["confusion"]
            line = {**identity, **found, "named": float(exact)}
            Results(pathlib.Path(FLAGS.results)).add(line)
        if kind == "confidence":
            print_confusion(names, found.get("confusion"))


if __name__ == "__main__":
    app.run(main)
