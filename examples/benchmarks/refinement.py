"""What it saves to keep activations while later kernels are searched.

With a tolerance for pruning every kernel's slots are searched by validation.
The baseline computes the whole network for each candidate.
"""

from unittest import mock

import keras
import numpy as np
from absl import flags
from keras import layers

import tsn_keras
from examples.benchmarks import networks
from examples.benchmarks.comparison import result, seconds_of
from tsn_keras import known_activations

FLAGS = flags.FLAGS
flags.DEFINE_integer("validation_rows", 2000, "Validation images.")
NEVER = 10**30


def _make_model(network: networks.Network) -> tsn_keras.ContinualModel:
    keras.utils.set_random_seed(0)
    model = tsn_keras.ContinualModel(
        network.make(),
        pruning=tsn_keras.pruning.MagnitudePruning(0.9, tolerance=0.02),
        quantization=tsn_keras.quantization.AdaptiveCodebook(
            min_width=4, max_width=4, fine_tune_steps=0
        ),
        sharing="never",
    )
    return networks.compile_model(model)


def _seconds_of_task(model, data, worthwhile: int) -> float:
    x, y = data
    head = layers.Dense(networks.NUM_CLASSES)
    model.add_task(f"task_{len(model.tasks)}", head)
    model.fit(x[:64], y[:64], verbose=0)
    with mock.patch.object(known_activations, "WORTHWHILE", worthwhile):
        return seconds_of(lambda: model.consolidate(data, verbose=0))


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network.

    Args:
        repetitions: int, at most three tasks are learned by each model, after
            a first one that compiles what all use.
    """
    results = []
    for name in FLAGS.network:
        network = networks.NETWORKS[name]
        random = np.random.default_rng(0)
        rows = FLAGS.validation_rows
        x = random.random((rows, *network.shape), np.float32)
        data = x, random.integers(0, networks.NUM_CLASSES, rows)
        models = _make_model(network), _make_model(network)
        least = known_activations.WORTHWHILE, NEVER
        seconds = [
            list(map(_seconds_of_task, models, (data, data), least))
            for _ in range(min(repetitions, 3) + 1)
        ]
        ours, whole = np.array(seconds[1:]).T
        what = f"{name}, activations kept/computed anew"
        medians = np.median(ours), np.median(whole)
        results.append(result(what, *medians, ours / whole, "s"))
    return results
