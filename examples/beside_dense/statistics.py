"""What the lines of a row say: gaps with their intervals, bytes needed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

REPETITIONS = 4000
LEVELS = (0.025, 0.975)

Interval = tuple[float, float]


def gap_of(task: dict[str, Any]) -> float:
    """Returns how many points the dense network is ahead on a task."""
    lost, gained = task["dense_only_right"], task["ours_only_right"]
    return 100.0 * (lost - gained) / task["n"]


def paired_gap(lines: Sequence[dict[str, Any]]) -> tuple[float, Interval]:
    """Returns the mean gap in points and its 95 % bootstrap interval.

    Lines are drawn first (a line is a seed and a fold), and then the test
    examples of each task in each line drawn. An example is drawn with both of
    its answers, so that only those count that one network alone had right.
    """
    tasks = [line["tasks"] for line in lines]
    mean = np.mean([[gap_of(task) for task in line] for line in tasks])
    rng = np.random.default_rng(0)
    drawn = np.array(
        [[_draw_gaps(task, rng) for task in line] for line in tasks]
    ).mean(axis=1)
    return float(mean), _interval(_mean_of_drawn(drawn, rng))


def _draw_gaps(task: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
    n = task["n"]
    lost, gained = task["dense_only_right"] / n, task["ours_only_right"] / n
    rest = max(0.0, 1.0 - lost - gained)
    counts = rng.multinomial(n, (lost, gained, rest), REPETITIONS)
    return 100.0 * (counts[:, 0] - counts[:, 1]) / n


def _mean_of_drawn(
    values: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Returns means over lines that are drawn anew in each repetition."""
    size = (len(values), REPETITIONS)
    chosen = rng.integers(len(values), size=size)
    return np.take_along_axis(values, chosen, axis=0).mean(axis=0)


def error_ratio(lines: Sequence[dict[str, Any]]) -> tuple[float, Interval]:
    """Returns our squared error over the dense one's, and its interval.

    Lines are drawn, then examples, as in `paired_gap`. The sum of a draw of
    examples is drawn at once: as good as normal, with the covariance that both
    errors have.
    """
    tasks = [line["tasks"] for line in lines]
    rng = np.random.default_rng(0)
    sums = np.sum([[_squares(task) for task in line] for line in tasks], (0, 1))
    drawn = np.array(
        [[_draw_squares(task, rng) for task in line] for line in tasks]
    ).sum(axis=1)
    chosen = rng.integers(len(lines), size=(len(lines), REPETITIONS))
    drawn = np.take_along_axis(drawn, chosen[..., np.newaxis], axis=0)
    ours, dense = drawn.sum(axis=0).T
    return float(sums[0] / sums[1]), _interval(ours / dense)


def _squares(task: dict[str, Any]) -> np.ndarray:
    return np.array([task["ours_squares"], task["dense_squares"]])


def _draw_squares(
    task: dict[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Returns both sums in each repetition, `[repetitions, 2]`."""
    ours, dense, both = task["products"]
    sums = _squares(task)
    covariance = np.array([[ours, both], [both, dense]])
    covariance -= np.outer(sums, sums) / task["n"]
    return rng.multivariate_normal(
        sums, covariance, REPETITIONS, check_valid="ignore"
    )


def _interval(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, LEVELS)
    return float(low), float(high)


def bytes_for_accuracy(
    points: Sequence[tuple[float, float]], accuracy: float
) -> float:
    """Returns the bytes that fixed settings need for an accuracy.

    They lie on the lower hull of the points, between two of them linear. An
    accuracy that no point reaches takes the largest bytes of all points, one
    that every point reaches the smallest.

    Args:
        points: Bytes and accuracy of each setting.
    """
    largest = max(size for size, _ in points)
    if accuracy > max(quality for _, quality in points):
        return float(largest)
    hull = [min(points, key=lambda point: (point[0], -point[1]))]
    while better := [p for p in points if p[1] > hull[-1][1]]:
        size, quality = hull[-1]
        hull.append(
            min(
                better,
                # Of several on one line, the last.
                key=lambda p: ((p[0] - size) / (p[1] - quality), -p[1]),
            )
        )
    sizes, qualities = zip(*hull)
    return float(np.interp(accuracy, qualities, sizes))
