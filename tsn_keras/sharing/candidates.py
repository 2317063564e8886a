"""Which of many earlier tasks a new one is compared with."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

# An earlier task that nothing is known about may be nearer than the nearest
# one so far: its divergence is expected to be this part of that.
HOPE = 0.5


class Nearest(NamedTuple):
    """What is stored of an earlier task's own comparison.

    Args:
        task: The task that was nearest, `None` if there was none.
        divergence: From that task; `None` if it is not known.
    """

    task: str | None
    divergence: float | None


def compare(
    earlier: Mapping[str, Nearest],
    divergence_from: Callable[[str], float],
    most: int | None,
) -> dict[str, float]:
    """Returns the divergences from earlier tasks, from `most` of them at most.

    Each divergence costs a run of a subnetwork, so the stored ones decide which
    are worth it. The root of a divergence is taken as a distance, and the
    nearest task of each earlier one as its neighbour. If the new task is far
    from one, it is far from those which are near that one. The next task to
    compare is the one that may be nearest by that: a neighbour of a near one,
    or else one that nothing is known about. Of equal ones it is the one that
    most others were nearest to, then the latest. The latest task of all is
    compared first.

    Example:

    >>> chain = {"a": Nearest(None, None), "b": Nearest("a", 0.01)}
    >>> chain |= {"c": Nearest("b", 9.0), "d": Nearest("c", 0.01)}
    >>> compare(chain, {"a": 0.1, "b": 0.0, "c": 8.0, "d": 9.0}.get, 3)
    {'a': 0.1, 'b': 0.0, 'd': 9.0}
    """
    names = list(earlier)
    if most is None or len(names) <= most:
        return {name: divergence_from(name) for name in names}
    neighbours = _Neighbours(earlier)
    found: dict[int, float] = {}
    following = len(names) - 1
    while True:
        found[following] = divergence_from(names[following])
        if len(found) == most:
            break
        neighbours.learn(following, found[following])
        following = neighbours.most_promising(found)
    return {names[index]: found[index] for index in sorted(found)}


class _Neighbours:
    """How near earlier tasks may be, by their distances from each other."""

    def __init__(self, earlier: Mapping[str, Nearest]):
        numbers = {name: index for index, name in enumerate(earlier)}
        self._parents = [numbers.get(one.task) for one in earlier.values()]
        self._lengths = [_distance(one.divergence) for one in earlier.values()]
        count = len(numbers)
        self._chosen = [self._parents.count(index) for index in range(count)]
        # Lower bounds of the new task's distance, `None` where none is known.
        self._bounds: list[float | None] = [None] * count

    def learn(self, task: int, divergence: float) -> None:
        """Takes note of the new task's divergence from an earlier one."""
        reached = _distance(divergence)
        for other, length in enumerate(self._lengths_from(task)):
            if length < math.inf:
                bound = max(reached - length, self._bounds[other] or 0.0)
                self._bounds[other] = bound

    def _lengths_from(self, task: int) -> np.ndarray:
        """Returns the lengths of the ways from a task to all others."""
        ways = np.full(len(self._parents), math.inf)
        ways[task] = 0.0
        while (parent := self._parents[task]) is not None:
            ways[parent] = ways[task] + self._lengths[task]
            task = parent
        # A nearest task comes before those that it is nearest to.
        for child, parent in enumerate(self._parents):
            if parent is not None:
                way = ways[parent] + self._lengths[child]
                ways[child] = min(ways[child], way)
        return ways

    def most_promising(self, found: Mapping[int, float]) -> int:
        """Returns the task to compare next."""
        unknown = HOPE * min(_distance(value) ** 2 for value in found.values())

        def order(task):
            bound = self._bounds[task]
            expected = unknown if bound is None else bound**2
            return expected, -self._chosen[task], -task

        rest = (task for task in range(len(self._parents)) if task not in found)
        return min(rest, key=order)


def _distance(divergence: float | None) -> float:
    """Returns the root of a divergence, infinite if it is unknown or NaN."""
    if divergence is None or math.isnan(divergence):
        return math.inf
    return math.sqrt(max(divergence, 0.0))
