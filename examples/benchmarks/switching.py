"""What it costs to put another consolidated task to work."""

import itertools

import numpy as np
from absl import flags

from examples.benchmarks import banks, networks
from examples.benchmarks.comparison import compare

FLAGS = flags.FLAGS
flags.DEFINE_integer("many_tasks", 100, "Tasks of the bank with many.")


def _switch(model, names):
    """Returns a function that puts the next task to work."""
    names = iter(names)
    return lambda: model.switch.to(next(names))


def _among_all(model):
    """Switches among all tasks, each of which has been at work before."""
    for name in model.tasks:
        model.switch.to(name)
    return _switch(model, itertools.cycle(model.tasks))


def _millions(model) -> float:
    return sum(np.prod(shape) for shape in model.bank.shapes) / 1e6


def _against_plain(
    name: str, repetitions: int, shared: bool = False, first: bool = False
):
    """Against assigning as many plain weights, for a million weights."""
    network = networks.NETWORKS[name]
    count = 3 * repetitions
    ours = banks.model_with_tasks(network, count + 1 if first else 4, shared)
    plain = networks.make_plain(network)
    weights = [plain.get_weights() for _ in range(2)]
    choices = itertools.cycle(weights)
    kind = "one plane" if shared else "own planes"
    if first:
        kind += ", first use after loading"
        ours.bank.load_bytes(ours.bank.to_bytes())
    return compare(
        f"{name}, {kind}/set_weights",
        _switch(ours, ours.tasks) if first else _among_all(ours),
        lambda: plain.set_weights(next(choices)),
        count,
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
        _among_all(many),
        _among_all(few),
        3 * repetitions,
        _millions(few),
    )


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network; milliseconds a million weights.

    Args:
        repetitions: int, measurements of each side.
    """
    return [
        _against_plain("mlp_100", repetitions),
        _against_plain("mlp_100", repetitions, first=True),
        _against_plain("mlp_2000", repetitions),
        _against_plain("mlp_2000", repetitions, first=True),
        _against_plain("mlp_2000", repetitions, shared=True),
        _growth(repetitions),
    ]
