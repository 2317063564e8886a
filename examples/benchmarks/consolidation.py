"""What the consolidation of a task costs over its training."""

import time

import keras
import numpy as np
from absl import flags
from keras import layers

from examples.benchmarks import networks
from examples.benchmarks.comparison import result

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


def _seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network: consolidation over training.

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
        pairs = []
        for number in range(min(repetitions, 3) + 1):
            head = layers.Dense(networks.NUM_CLASSES)
            model.add_task(f"task_{number}", head)
            fitting = _seconds(
                lambda: model.fit(
                    *train,
                    batch_size=network.batch_size,
                    epochs=EPOCHS,
                    verbose=0,
                )
            )
            consolidating = _seconds(
                lambda: model.consolidate(validation, verbose=0)
            )
            pairs.append((consolidating, fitting))
        ours, training = np.array(pairs[1:]).T
        results.append(
            result(
                f"{name}, consolidation/training of 5 epochs",
                np.median(ours),
                np.median(training),
                ours / training,
                "s",
            )
        )
    return results
