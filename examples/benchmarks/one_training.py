"""One training in a process of its own, for the suite `memory`.

    python -m examples.benchmarks.one_training --kind=continual --net=mlp_2000
"""

import os
import tempfile
import time

import keras
from absl import app, flags
from keras import layers

from examples.benchmarks import networks

FLAGS = flags.FLAGS
flags.DEFINE_enum("kind", "plain", ["plain", "continual", "whole"], "Model.")
flags.DEFINE_string("net", "mlp_2000", "Network.")

# A kernel of 50 million weights.
LARGE = networks.Network(
    lambda: keras.Sequential(
        [keras.Input((784,)), layers.Dense(63776, activation="relu")]
    ),
    (784,),
    batch_size=16,
    steps=3,
)


def _train(model: keras.Model, network: networks.Network) -> None:
    batches = networks.make_batches(network, network.steps)
    for _ in range(2):
        model.fit(batches, verbose=0, shuffle=False)


def _whole_life(network: networks.Network) -> None:
    """Trains, consolidates and saves a task under the default strategies."""
    model = networks.make_continual(network, default_strategies=True)
    model.add_task("task", layers.Dense(networks.NUM_CLASSES))
    batches = networks.make_batches(network, network.steps)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        stages = {
            "train": lambda: _train(model, network),
            "consolidate": lambda: model.consolidate(batches, verbose=0),
            "save": lambda: model.save(path),
        }
        for stage, function in stages.items():
            start = time.perf_counter()
            function()
            seconds = time.perf_counter() - start
            print(f"{'':<44}{stage} {seconds:.1f} s", flush=True)


def main(_):
    network = {**networks.NETWORKS, "large": LARGE}[FLAGS.net]
    if FLAGS.kind == "whole":
        _whole_life(network)
        return
    if FLAGS.kind == "plain":
        model = networks.make_plain(network)
    else:
        model = networks.make_continual(network)
        model.add_task("task", layers.Dense(networks.NUM_CLASSES))
    _train(model, network)


if __name__ == "__main__":
    app.run(main)
