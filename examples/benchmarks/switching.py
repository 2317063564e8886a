"""What it costs to put another consolidated task to work."""

import itertools

import numpy as np
from absl import flags

from examples.benchmarks import banks, networks
from examples.benchmarks.comparison import compare

FLAGS = flags.FLAGS
flags.DEFINE_integer("many_tasks", 100, "Tasks of the bank with many.")


def _switch(model):
    """Returns a function that puts the next task to work."""
    names = itertools.cycle(model.tasks)

    def switch():
        with model.working_as(next(names)):
            pass

    return switch


def _millions(model) -> float:
    return sum(np.prod(shape) for shape in model.bank.shapes) / 1e6


def _against_plain(name: str, count: int, shared: bool, repetitions: int):
    """Against assigning as many plain weights, for a million weights."""
    network = networks.NETWORKS[name]
    ours = banks.model_with_tasks(network, count, shared)
    plain = networks.make_plain(network)
    weights = [plain.get_weights() for _ in range(2)]
    choices = itertools.cycle(weights)
    planes = "one plane" if shared else "planes of their own"
    return compare(
        f"{name}, {count} tasks, {planes}/set_weights",
        _switch(ours),
        lambda: plain.set_weights(next(choices)),
        3 * repetitions,
        _millions(ours),
    )


def _growth(repetitions: int) -> dict:
    network = networks.NETWORKS["mlp_100"]
    few, many = (
        banks.model_with_tasks(network, count)
        for count in (2, FLAGS.many_tasks)
    )
    return compare(
        f"mlp_100, switch among {FLAGS.many_tasks} tasks/among 2",
        _switch(many),
        _switch(few),
        3 * repetitions,
        _millions(few),
    )


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network; milliseconds a million weights.

    Args:
        repetitions: int, measurements of each side.
    """
    return [
        _against_plain("mlp_100", 10, False, repetitions),
        _against_plain("mlp_2000", 4, False, repetitions),
        _against_plain("mlp_2000", 4, True, repetitions),
        _growth(repetitions),
    ]
