"""Many threads that ask one model for several tasks."""

import threading
from collections.abc import Callable
from concurrent import futures

import keras
import numpy as np
from absl import flags

from examples.benchmarks import banks, networks
from examples.benchmarks.comparison import compare

FLAGS = flags.FLAGS
flags.DEFINE_integer("threads", 8, "How many ask at once.")
flags.DEFINE_integer("questions", 2000, "Predictions of all threads.")
TASKS = 6
ROWS = 128


def _ask_all(ask: Callable[[int], bool]) -> int:
    """Returns how many of the answers to all questions are wrong."""
    orders = np.random.default_rng(0).integers(
        TASKS, size=(FLAGS.threads, FLAGS.questions // FLAGS.threads)
    )
    barrier = threading.Barrier(FLAGS.threads)

    def work(order: np.ndarray) -> int:
        barrier.wait()
        return sum(not ask(int(number)) for number in order)

    with futures.ThreadPoolExecutor(FLAGS.threads) as threads:
        return sum(threads.map(work, orders))


def _wrong_answers(model, images: np.ndarray) -> dict:
    """Counts answers of another task while one more task trains."""
    names = model.tasks
    expected = [model.predict(images, task=n, verbose=0) for n in names]

    def ask(number: int) -> bool:
        found = model.predict(images, task=names[number], verbose=0)
        return np.array_equal(found, expected[number])

    done = threading.Event()

    class Stops(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = done.is_set()

    network = networks.NETWORKS["mlp_100"]
    batches = networks.make_batches(network, network.steps)
    model.add_task("trains", keras.layers.Dense(networks.NUM_CLASSES))
    with futures.ThreadPoolExecutor(1) as other:
        training = other.submit(
            model.fit, batches, epochs=10000, verbose=0, callbacks=[Stops()]
        )
        try:
            wrong = _ask_all(ask)
        finally:
            done.set()
        steps = len(training.result().history["loss"]) * network.steps
    model.discard_task()
    print(
        f"{wrong} of {FLAGS.questions} answers wrong, {FLAGS.threads} threads, "
        f"{TASKS} tasks, one more in training ({steps} steps)"
    )
    return {"name": "wrong answers", "wrong": wrong, "steps": steps}


def run(repetitions: int) -> list[dict]:
    """Returns wrong answers, and throughput against plain Keras.

    Args:
        repetitions: int, measurements of each side.
    """
    network = networks.NETWORKS["mlp_100"]
    model = banks.model_with_tasks(network, TASKS)
    plain = networks.make_plain(network)
    images = np.random.default_rng(0).random((ROWS, *network.shape), np.float32)
    results = [_wrong_answers(model, images)]
    views = [model.task(name) for name in model.tasks]
    for name, ours, theirs in (
        (
            "predict",
            lambda number: views[number].predict(images, verbose=0),
            lambda number: plain.predict(images, verbose=0),
        ),
        (
            "call",
            lambda number: views[number](images),
            lambda number: plain(images, training=False),
        ),
    ):
        results.append(
            compare(
                f"mlp_100, {FLAGS.threads} threads, {name} through views",
                lambda ask=ours: _ask_all(lambda n: ask(n) is not None),
                lambda ask=theirs: _ask_all(lambda n: ask(n) is not None),
                repetitions,
                FLAGS.questions,
            )
        )
    return results
