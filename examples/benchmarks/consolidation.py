"""What the consolidation of a task costs over its training."""

import keras
import numpy as np
from absl import flags
from keras import layers

import tsn_keras
from examples.benchmarks import networks
from examples.benchmarks.comparison import result, seconds_of

FLAGS = flags.FLAGS
flags.DEFINE_integer("rows", 10000, "Training images.")
flags.DEFINE_integer(
    "held_out_rows", None, "Validation images; by default a tenth of --rows."
)
flags.DEFINE_float(
    "pruning_tolerance",
    None,
    "The quality that pruning on in `consolidate` may cost. By default it does "
    "not prune on.",
    0.0,
    1.0,
)
EPOCHS = 5


def _make_model(network: networks.Network) -> tsn_keras.ContinualModel:
    keras.utils.set_random_seed(0)
    tolerance = FLAGS.pruning_tolerance
    return networks.compile_model(
        tsn_keras.ContinualModel(
            network.make(),
            pruning=tsn_keras.pruning.MagnitudePruning(tolerance=tolerance),
        )
    )


def _images(network: networks.Network, rows: int, seed: int):
    """Noisy prototypes of classes, which can be learned."""
    patterns = np.random.default_rng(0).random(
        (networks.NUM_CLASSES, *network.shape), np.float32
    )
    random = np.random.default_rng(seed)
    labels = random.integers(0, networks.NUM_CLASSES, rows)
    noise = random.standard_normal((rows, *network.shape), np.float32)
    return patterns[labels] + noise, labels


def _seconds_of_task(model, network, train, validation) -> tuple[float, float]:
    """Returns how long the consolidation and the training of a task took."""
    head = layers.Dense(networks.NUM_CLASSES)
    model.add_task(f"task_{len(model.tasks)}", head)
    fitting = seconds_of(
        lambda: model.fit(
            *train, batch_size=network.batch_size, epochs=EPOCHS, verbose=0
        )
    )
    consolidating = seconds_of(lambda: model.consolidate(validation, verbose=0))
    return consolidating, fitting


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network.

    Args:
        repetitions: int, at most three tasks are learned, after a first one
            that compiles what all use.
    """
    results = []
    for name in FLAGS.network:
        network = networks.NETWORKS[name]
        train = _images(network, FLAGS.rows, 1)
        rows = FLAGS.held_out_rows or FLAGS.rows // 10
        validation = _images(network, rows, 2)
        model = _make_model(network)
        tasks = [
            _seconds_of_task(model, network, train, validation)
            for _ in range(min(repetitions, 3) + 1)
        ]
        consolidating, fitting = np.array(tasks[1:]).T
        medians = np.median(consolidating), np.median(fitting)
        what = f"{name}, consolidation/training of 5 epochs"
        results.append(result(what, *medians, consolidating / fitting, "s"))
    return results
