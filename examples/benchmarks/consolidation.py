"""What the consolidation of a task costs over its training.

And how much of it are passes over the validation data.
"""

import time
from unittest import mock

import keras
import numpy as np
from absl import flags
from keras import layers

from examples.benchmarks import networks
from examples.benchmarks.comparison import result, seconds_of
from tsn_keras.tasks.quality import Validation

FLAGS = flags.FLAGS
flags.DEFINE_integer("rows", 10000, "Training images; validation: a tenth.")
EPOCHS = 5


def _images(network: networks.Network, rows: int, seed: int):
    """Noisy prototypes of classes, which can be learned."""
    patterns = np.random.default_rng(0).random(
        (networks.NUM_CLASSES, *network.shape), np.float32
    )
    random = np.random.default_rng(seed)
    labels = random.integers(0, networks.NUM_CLASSES, rows)
    noise = random.standard_normal((rows, *network.shape), np.float32)
    return patterns[labels] + noise, labels


def _seconds_of_task(model, network, train, validation) -> tuple[float, ...]:
    """Returns what consolidation, training, and all validation passes took."""
    head = layers.Dense(networks.NUM_CLASSES)
    model.add_task(f"task_{len(model.tasks)}", head)
    fitting = seconds_of(
        lambda: model.fit(
            *train, batch_size=network.batch_size, epochs=EPOCHS, verbose=0
        )
    )
    passes, untimed = [], Validation.results

    def results(self):
        start = time.perf_counter()
        found = untimed(self)
        passes.append(time.perf_counter() - start)
        return found

    with mock.patch.object(Validation, "results", results):
        consolidating = seconds_of(
            lambda: model.consolidate(validation, verbose=0)
        )
    return consolidating, fitting, sum(passes)


def run(repetitions: int) -> list[dict]:
    """Returns two results for each network.

    Consolidation over training, and validation over consolidation.

    Args:
        repetitions: int, at most three tasks are learned, after a first one
            that compiles what all use.
    """
    results = []
    for name in FLAGS.network:
        network = networks.NETWORKS[name]
        keras.utils.set_random_seed(0)
        train = _images(network, FLAGS.rows, 1)
        validation = _images(network, FLAGS.rows // 10, 2)
        model = networks.make_continual(network, default_strategies=True)
        tasks = [
            _seconds_of_task(model, network, train, validation)
            for _ in range(min(repetitions, 3) + 1)
        ]
        consolidating, fitting, validating = np.array(tasks[1:]).T
        for what, one, other in (
            ("consolidation/training of 5 epochs", consolidating, fitting),
            ("validation/consolidation", validating, consolidating),
        ):
            medians = np.median(one), np.median(other)
            what = f"{name}, {what}"
            results.append(result(what, *medians, one / other, "s"))
    return results
