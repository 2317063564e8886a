"""Numbers that sum up an accuracy matrix.

`R[i, j]` is the quality on task j after task i of T was learned. A matrix that
is not square, or that lacks an entry which a formula needs, is a `ValueError`.
"""

from collections.abc import Sequence

import numpy as np

from tsn_keras.data import shown
from tsn_keras.evaluation.accuracy_matrix import AccuracyMatrix

Matrix = AccuracyMatrix | np.ndarray | Sequence[Sequence[float]]


def average_accuracy(matrix: Matrix) -> float:
    """Computes the mean quality over all tasks at the end.

    `A = 1/T * sum_j R[T-1, j]`

    Source: Lopez-Paz and Ranzato, 2017, Gradient Episodic Memory.

    Example:

    >>> average_accuracy([[0.9, float("nan")], [0.7, 0.8]])
    0.75
    """
    values = _square(matrix)
    return float(np.mean(_known(values[-1], "the last row")))


def backward_transfer(matrix: Matrix) -> float:
    """Computes what later tasks changed on earlier ones.

    `BWT = 1/(T-1) * sum_{j<T-1} (R[T-1, j] - R[j, j])`

    Negative values are forgetting. A model that forgets nothing has exactly
    0.0. With one task there is nothing to change: 0.0.

    Source: Lopez-Paz and Ranzato, 2017, Gradient Episodic Memory.

    Example:

    >>> backward_transfer([[0.9, float("nan")], [0.7, 0.8]])
    -0.2
    """
    values = _square(matrix)
    if len(values) == 1:
        return 0.0
    last = _known(values[-1], "the last row")
    learned = _known(np.diagonal(values), "the diagonal")
    return float(np.mean((last - learned)[:-1]))


def forward_transfer(
    matrix: Matrix, single: Sequence[float] | None = None
) -> float | None:
    """Computes what earlier tasks helped or hindered in learning later ones.

    `FWT = 1/(T-1) * sum_{j>=1} (R[j, j] - single[j])`

    `single[j]` is the quality of a network of the same architecture that
    learned task j alone. Positive values say that earlier tasks helped.

    Lopez-Paz and Ranzato (2017) take `R[j-1, j]`, the quality on a task before
    it was learned. A model with a head for each task has no such quality. The
    aim of our formula is that of Diaz-Rodriguez et al., 2018, Don't Forget,
    There Is More than Forgetting. The baseline is that of Wolczyk et al., 2021,
    Continual World, who normalize areas under learning curves where we take
    the final quality.

    With one task: 0.0. Without `single`: None. Entry 0 of `single` is not used.

    Example:

    >>> forward_transfer([[0.9, float("nan")], [0.7, 0.8]], [0.9, 0.7])
    0.1
    """
    values = _square(matrix)
    if single is None:
        return None
    baseline = _numbers("single", single)
    if baseline.shape != (len(values),):
        raise ValueError(
            f"`single` must have one quality for each of the {len(values)} "
            f"tasks. Received the shape {baseline.shape}. Train one separate "
            "network for each task."
        )
    if len(values) == 1:
        return 0.0
    learned = _known(np.diagonal(values)[1:], "the diagonal")
    return float(np.mean(learned - _known(baseline[1:], "`single`")))


def forgetting(matrix: Matrix) -> float:
    """Computes how far tasks fell below their best.

    `F = 1/(T-1) * sum_{j<T-1} (max_{l=j..T-2} R[l, j] - R[T-1, j])`

    Positive values are forgetting. With one task: 0.0.

    Source: Chaudhry et al., 2018, Riemannian Walk for Incremental Learning.

    Example:

    >>> forgetting([[0.9, float("nan")], [0.7, 0.8]])
    0.2
    """
    values = _square(matrix)
    tasks = len(values)
    if tasks == 1:
        return 0.0
    falls = []
    for j in range(tasks - 1):
        column = _known(values[j:, j], f"column {j} from the diagonal down")
        falls.append(np.max(column[:-1]) - column[-1])
    return float(np.mean(falls))


def _square(matrix):
    if isinstance(matrix, AccuracyMatrix):
        return matrix.values
    values = _numbers("matrix", matrix)
    if values.ndim != 2 or len(set(values.shape)) > 1 or not values.size:
        raise ValueError(
            "`matrix` must have one row and one column for each task. "
            f"Received the shape {values.shape}. Pass an AccuracyMatrix."
        )
    return values


def _numbers(name, given):
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"`{name}` must hold numbers, in rows of one length. Received: "
            f"{name}={shown(given)}"
        ) from error


def _known(values, where):
    if np.isnan(values).any():
        raise ValueError(
            f"`matrix` has missing entries (NaN) in {where}. Evaluate them "
            "with `AccuracyMatrix.evaluate_row`, or pass the first rows and "
            "columns of a run that was stopped."
        )
    if np.isinf(values).any():
        raise ValueError(
            f"`matrix` has infinite entries in {where}. Received: "
            f"{values.tolist()}. Leave out what was not measured."
        )
    return values
