"""Models whose bank is full of tasks that nobody had to train."""

import dataclasses

import numpy as np

import tsn_keras
from examples.benchmarks import networks
from tsn_keras.bank import Component, TaskRecord, WeightBank

KEPT = 0.05
WIDTH = 2


def pruned_mask(random, shape: tuple[int, ...], kept: float) -> np.ndarray:
    """Returns the largest magnitudes of a kernel with uneven rows.

    Args:
        random: `np.random.Generator`.
        shape: tuple of int, the kernel's.
        kept: float, fraction of slots.
    """
    rows = random.lognormal(0.0, 0.6, (*shape[:-1], 1))
    magnitudes = np.abs(random.standard_normal(shape, np.float32) * rows)
    return magnitudes >= np.quantile(magnitudes, 1.0 - kept)


def model_with_tasks(
    network: networks.Network, count: int, shared: bool = False
) -> tsn_keras.ContinualModel:
    """Returns a model with tasks of random masks and values.

    Args:
        network: `networks.Network`.
        count: int, number of tasks.
        shared: bool. Whether all tasks are on one plane, and share half of
            what is owned there already; each has a plane of its own if not.
    """
    model = networks.compile_model(
        tsn_keras.ContinualModel(
            network.make(),
            pruning=tsn_keras.pruning.MagnitudePruning(1 - KEPT, end=0.1),
            quantization=tsn_keras.quantization.AdaptiveCodebook(
                min_width=WIDTH,
                max_width=WIDTH,
                tolerance=0.9,
                fine_tune_steps=0,
            ),
            sharing=None,
        )
    )
    batches = networks.make_batches(network, 1)
    networks.add_tasks(model, 1, batches)
    first = model.bank[model.tasks[0]]
    random = np.random.default_rng(0)
    for number in range(1, count):
        plane = 0 if shared else number
        model.bank.add(_random_record(random, model.bank, first, plane))
    return model


def _random_record(
    random, bank: WeightBank, first: TaskRecord, plane: int
) -> TaskRecord:
    planes = (plane,) * len(bank.shapes)
    components = []
    for kernel, owned in enumerate(bank.plane_view(planes).owned):
        mask = pruned_mask(random, owned.shape, KEPT)
        has_room = bank.used_bits(kernel) <= 32 - WIDTH
        own = mask & ~owned & has_room
        shared = owned & (random.random(owned.shape) < 0.5)
        book = first.components[kernel].codebook
        count = np.count_nonzero(own)
        component = Component.encode(
            own,
            shared,
            owned,
            None,
            WIDTH,
            book,
            random.integers(0, book.size, count),
        )
        components.append(component)
    return dataclasses.replace(
        first,
        name=f"task_{len(bank.tasks)}",
        planes=planes,
        components=tuple(components),
    )
