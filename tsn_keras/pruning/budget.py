"""How a budget of bytes is divided among kernels."""

import bisect

import numpy as np

# No kernel falls below this fraction of its slots.
SMALLEST_DENSITY = 0.01


def code_bytes(kept: int, size: int, width: int) -> float:
    """Returns about how many bytes `kept` of `size` slots take.

    The entropy of a mask with independent slots, and codes of `width` bits:

    `(size * H(min(kept / size, 1 / 2)) + width * kept) / 8`
    """
    density = np.clip(kept / size, 1e-12, 0.5)
    entropy = -density * np.log2(density)
    entropy -= (1 - density) * np.log2(1 - density)
    return float(size * entropy + width * kept) / 8


def fewest_slots(size: int) -> int:
    """Returns the number of own slots that a kernel never falls below."""
    return max(1, round(SMALLEST_DENSITY * size))


def smallest_budget(sizes: list[int], width: int) -> float:
    """Returns the bytes that kernels take with their fewest slots."""
    return sum(code_bytes(fewest_slots(size), size, width) for size in sizes)


def divide_budget(
    importances: list[np.ndarray],
    available: list[np.ndarray],
    budget: float,
    width: int,
) -> list[int]:
    """Finds how many slots of each kernel a budget of bytes pays for.

    The available slots of all kernels are ranked together. The most important
    ones are kept: as many as `code_bytes` allows, and at least 1 % of every
    kernel. The lowest importance that is kept is found by bisection.

    >>> importances = [np.arange(1.0, 1001.0), np.arange(900.0, 1900.0)]
    >>> available = [np.ones(1000, bool)] * 2
    >>> divide_budget(importances, available, budget=200, width=2)
    [10, 305]
    """
    free = [np.abs(v[a]) for v, a in zip(importances, available)]
    sizes = [values.size for values in importances]

    def kept(bits):
        threshold = np.int32(bits).view(np.float32)
        return [
            min(f.size, max(np.count_nonzero(f >= threshold), fewest_slots(n)))
            for f, n in zip(free, sizes)
        ]

    def is_affordable(bits):
        counts = zip(kept(bits), sizes)
        return sum(code_bytes(k, n, width) for k, n in counts) <= budget

    # The bit patterns of non-negative floats have the order of the floats.
    patterns = range(int(np.float32(np.inf).view(np.int32)))
    lowest = bisect.bisect_left(patterns, True, key=is_affordable)
    return [int(k) for k in kept(lowest)]
