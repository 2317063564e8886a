"""Training, validation and test examples, cut from one lot by a seed."""

import zlib
from collections.abc import Sequence

import numpy as np

from tsn_keras.data import check_numbers
from tsn_keras.scenarios import scenario

TRAIN, VALIDATION, TEST = PARTS = ("train", "validation", "test")


def check_splits(**fractions: float) -> None:
    """Refuses fractions that leave a part without examples."""
    check_numbers(**fractions)
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise ValueError(
                f"`{name}` must lie between 0 and 1, both excluded. Received: "
                f"{name}={fraction}. Pass for example 0.2."
            )
    if sum(fractions.values()) >= 1:
        both = " and ".join(f"`{name}`" for name in fractions)
        raise ValueError(
            f"{both} leave nothing to train with. Received: {fractions}. "
            "Their sum must be less than 1."
        )


def seed_of(seed: int, task: str, purpose: int) -> tuple[int, int, int]:
    """Returns the seed of a generator for a task, whichever number it has."""
    return seed, zlib.crc32(task.encode()), purpose


def order_seed(seed: int, task: str) -> int:
    """Returns the seed of the order of a task's training examples."""
    generator = np.random.default_rng(seed_of(seed, task, scenario.SHUFFLE))
    return int(generator.integers(2**31))


def split(
    labels: np.ndarray,
    fractions: dict[str, float],
    seed: Sequence[int],
) -> dict[str, np.ndarray]:
    """Splits examples at random, those of each class alike.

    Every part has at least one example of each class.

    Args:
        labels: Class of each example, `[n]`. There must be at least as many of
            each as there are parts.
        fractions: Part of the examples for each name; the rest trains.

    Returns:
        Row numbers for `"train"` and each of the names, sorted.

    >>> parts = split(np.array([0, 0, 0, 1, 1, 1]), {"test": 0.2}, (0,))
    >>> parts["train"].size, parts["test"].size
    (4, 2)
    """
    generator = np.random.default_rng(seed)
    found: dict[str, list] = {name: [] for name in (TRAIN, *fractions)}
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        # One example must be left for each part that follows.
        after = len(fractions)
        left = len(rows)
        for name, fraction in fractions.items():
            count = max(1, round(len(rows) * fraction))
            count = min(count, left - after)
            found[name].append(rows[left - count : left])
            left -= count
            after -= 1
        found[TRAIN].append(rows[:left])
    return {name: np.sort(np.concatenate(rows)) for name, rows in found.items()}
