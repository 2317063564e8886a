"""What a training step and an inference cost over plain Keras'."""

import functools

from absl import flags

from examples.benchmarks import networks
from examples.benchmarks.comparison import compare
from examples.choices import define_choices

FLAGS = flags.FLAGS
define_choices(
    "part",
    ["step", "scores", "jit", "jit_scores", "tasks", "inference"],
    ["step", "scores", "jit", "jit_scores", "tasks", "inference"],
    "What to measure of a network.",
)
flags.DEFINE_integer(
    "num_tasks",
    None,
    "Tasks of a model with many: 50, and 200 in the suite many_tasks.",
    11,
)


def _compare_steps(name, ours, baseline, network, repetitions) -> dict:
    batches = networks.make_batches(network, network.steps)

    def fit(model):
        networks.restart_schedule(model, network.steps)
        model.fit(batches, verbose=0, shuffle=False)

    return compare(
        name,
        functools.partial(fit, ours),
        functools.partial(fit, baseline),
        repetitions,
        network.steps,
    )


def _running(network, pruning="magnitude", num_tasks=1, **arguments):
    model = networks.make_continual(network, pruning, **arguments)
    batches = networks.make_batches(network, 1)
    networks.add_tasks(model, num_tasks - 1, batches)
    networks.begin(model, batches)
    return model


def _step(name, network, repetitions):
    plain = networks.make_plain(network)
    name = f"{name}, step/plain"
    return _compare_steps(name, _running(network), plain, network, repetitions)


def _scores(name, network, repetitions):
    plain = networks.make_plain(network)
    ours = _running(network, "scores")
    name = f"{name}, step with scores/plain"
    return _compare_steps(name, ours, plain, network, repetitions)


def _jit(name, network, repetitions, pruning="magnitude"):
    plain = networks.make_plain(network, jit_compile=True)
    ours = _running(network, pruning, jit_compile=True)
    step = "step" if pruning == "magnitude" else "step with scores"
    name = f"{name}, {step}/plain, both jit_compile"
    return _compare_steps(name, ours, plain, network, repetitions)


def _tasks(name, network, repetitions):
    many = _running(network, num_tasks=FLAGS.num_tasks or 50)
    name = f"{name}, step of task {FLAGS.num_tasks or 50}/task 1"
    return _compare_steps(name, many, _running(network), network, repetitions)


def _inference(name, network, repetitions):
    plain = networks.make_plain(network)
    ours = networks.make_continual(network)
    networks.add_tasks(ours, 1, networks.make_batches(network, 1))
    steps = 2 * network.steps
    batches = networks.make_batches(network, steps).map(lambda x, y: x)
    return compare(
        f"{name}, inference/plain",
        lambda: ours.predict(batches, verbose=0),
        lambda: plain.predict(batches, verbose=0),
        repetitions,
        steps,
    )


PARTS = {
    "step": _step,
    "scores": _scores,
    "jit": _jit,
    "jit_scores": functools.partial(_jit, pruning="scores"),
    "tasks": _tasks,
    "inference": _inference,
}


def run(repetitions: int) -> list[dict]:
    """Returns one result for each network and part.

    Args:
        repetitions: int, measurements of each side.
    """
    return [
        PARTS[part](name, networks.NETWORKS[name], repetitions)
        for name in FLAGS.network
        for part in FLAGS.part
    ]
