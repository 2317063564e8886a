"""What the export of a task costs over that of the same network."""

import pathlib
import tempfile

from absl import flags

from examples.benchmarks import networks
from examples.benchmarks.comparison import compare

FLAGS = flags.FLAGS


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network; a file a task, verified.

    Args:
        repetitions: int, at most three: conversion takes seconds.
    """
    results = []
    for name in FLAGS.network:
        network = networks.NETWORKS[name]
        plain = networks.make_plain(network)
        ours = networks.make_continual(network)
        networks.add_tasks(ours, 1, networks.make_batches(network, 1))
        plain.build((None, *network.shape))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)

            def export(model, file):
                return lambda: model.export(
                    str(path / file), format="litert", verbose=False
                )

            results.append(
                compare(
                    f"{name}, export of a task/of plain Keras",
                    export(ours, "task.tflite"),
                    export(plain, "plain.tflite"),
                    min(repetitions, 3),
                )
            )
    return results
