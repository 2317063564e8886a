"""Which task is it? Prediction without a task's name, on permuted MNIST.

    python -m examples.permuted_mnist --output_dir=/tmp/permuted
    python -m examples.which_task --model=/tmp/permuted/model.keras

learns what tells the tasks of that model apart, one after the other for each
kind of `inference`, and prints how often the right task is found (and the right
class with it), for single images and for eight of one task together; what it
takes of capacity; how well images of tasks that were not learned are told from
those that were (area under the ROC curve); and the time, in predictions.
"""

import time

import keras
import numpy as np
from absl import app, flags
from sklearn.metrics import roc_auc_score

import tsn_keras
from examples.permuted_mnist import load_mnist

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "model", "/tmp/permuted/model.keras", "What permuted_mnist has saved."
)
flags.DEFINE_integer("num_unknown", 5, "Tasks that were not learned.")
flags.DEFINE_integer("num_images", 1000, "Test images of each task.")

KINDS = {
    "confidence": ["confidence"],
    "input_means": ["input_means"],
    "both": ["input_means", "confidence"],
}
TOGETHER = 8
BATCH = 256


def arrays(data, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first examples of a data set."""
    parts = list(data.unbatch().batch(count).take(1).as_numpy_iterator())
    return parts[0]


def measure(
    model: tsn_keras.ContinualModel, tests: dict, unknown: list
) -> dict:
    """Returns accuracies and times of the model's present `inference`."""
    right, classes, together, strange = [], [], [], []
    for name, (x, y) in tests.items():
        found = model.infer_task(x)
        right.append(found.nearest == name)
        outputs = model.predict(x, task="infer", verbose=0)
        classes.append((outputs.argmax(axis=-1) == y).mean())
        strange.append(found.unlikeness)
        # The most likely task of several is that of the product.
        chances = np.log(np.maximum(found.likelihood, 1e-300))
        groups = len(x) // TOGETHER
        chances = chances[: groups * TOGETHER].reshape(groups, TOGETHER, -1)
        best = chances.sum(axis=1).argmax(axis=1)
        together.append(np.array(found.names)[best] == name)
    new = [model.infer_task(x).unlikeness for x in unknown]
    known = np.concatenate(strange)
    labels = np.repeat([0, 1], [len(known), sum(map(len, new))])
    return {
        "single": np.mean(right),
        "worst": min(map(np.mean, right)),
        "class": np.mean(classes),
        "together": np.mean(np.concatenate(together)),
        "auc": roc_auc_score(labels, np.concatenate([known, *new])),
        "time": _time(model, x[:BATCH]),
    }


def _time(model: tsn_keras.ContinualModel, x: np.ndarray) -> float:
    """Returns the time to infer the task, in predictions.

    Where a score needs no predictions, it leaves two tasks to predict.
    """
    name, seconds = model.tasks[0], []
    is_cheap = [not score.needs_outputs for score in model.inference]
    most = 2 if any(is_cheap) else None
    for call in (
        lambda: model.predict(x, task=name, verbose=0),
        lambda: model.infer_task(x, max_tasks=most),
    ):
        call()
        start = time.perf_counter()
        for _ in range(10):
            call()
        seconds.append(time.perf_counter() - start)
    return seconds[1] / seconds[0]


def main(_) -> None:
    model = keras.models.load_model(FLAGS.model)
    data, names = load_mnist(), model.tasks
    tasks = tsn_keras.scenarios.PermutedPixels(
        data, len(names) + FLAGS.num_unknown, FLAGS.seed
    )
    tests = {n: arrays(t.test, FLAGS.num_images) for n, t in zip(names, tasks)}
    unknown = [
        arrays(task.test, FLAGS.num_images)[0]
        for task in list(tasks)[len(names) :]
    ]
    exact = np.mean(
        [
            (model.predict(x, task=n, verbose=0).argmax(axis=-1) == y).mean()
            for n, (x, y) in tests.items()
        ]
    )
    print(f"with the task's name: {exact:.2%}")
    print(
        "| inference | capacity more | task, single | worst task | class, "
        f"single | task, {TOGETHER} together | unknown, AUC | time |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    before = model.capacity().fraction
    for kind, scores in KINDS.items():
        model.inference = tsn_keras.inference.get_scores(scores)
        for name, task in zip(names, tasks):
            model.learn_inference(name, task.validation)
        found = measure(model, tests, unknown)
        more = 100 * (model.capacity().fraction - before)
        print(
            f"| {kind} | {more:.2f} points | {found['single']:.2%} | "
            f"{found['worst']:.2%} | {found['class']:.2%} | "
            f"{found['together']:.2%} | {found['auc']:.3f} | "
            f"{found['time']:.1f} |"
        )


if __name__ == "__main__":
    app.run(main)
