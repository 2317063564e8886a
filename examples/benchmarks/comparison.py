"""Ratios of two things that run in turn."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "clock",
    "wall",
    ["wall", "cpu"],
    "Time of the wall, or of the processor, which other work changes less.",
)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def compare(
    name: str,
    ours: Callable[[], Any],
    baseline: Callable[[], Any],
    repetitions: int,
    units: float = 1.0,
) -> dict[str, Any]:
    """Times two functions in turn, in this process.

    The ratio is the median of the ratios of neighbours in time, which a
    machine that grows slower or faster meanwhile changes least.

    Args:
        name: str, what is compared.
        ours: function, run once more beforehand.
        baseline: function, likewise.
        repetitions: int, measurements of each.
        units: float, what a call is divided into, such as training steps.

    Returns:
        dict with `name`, `ours_ms`, `baseline_ms` (medians), `ratio` and
        `spread`, the lower and upper quartile of the single ratios.
    """
    clock = CLOCKS[FLAGS.clock]
    ours()
    baseline()
    pairs = []
    for number in range(repetitions):
        pair = [0.0, 0.0]
        # Whichever comes second finds the caches as the first has left them.
        for side in (0, 1) if number % 2 else (1, 0):
            start = clock()
            (ours, baseline)[side]()
            pair[side] = clock() - start
        pairs.append(pair)
    times = np.array(pairs) / units * 1e3
    ratios = times[:, 0] / times[:, 1]
    return result(name, *np.median(times, axis=0), ratios)


def seconds_of(function: Callable[[], Any]) -> float:
    """Returns how long a function takes, on the wall."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def result(
    name: str, ours: float, baseline: float, ratios: Any, unit: str = "ms"
) -> dict[str, Any]:
    """Returns and prints one row of a suite's table.

    Args:
        name: str, what is compared.
        ours: float, the measured value.
        baseline: float, what it is compared with.
        ratios: array of float, single ratios.
        unit: str, of the two values.
    """
    ratio = float(np.median(ratios))
    low, high = np.quantile(ratios, (0.25, 0.75))
    print(
        f"{name:<44}{ours:>10.3f}{baseline:>10.3f} {unit:<4}"
        f"ratio {ratio:.3f} ({low:.3f} to {high:.3f})",
        flush=True,
    )
    return {
        "name": name,
        f"ours_{unit}": float(ours),
        f"baseline_{unit}": float(baseline),
        "ratio": ratio,
        "spread": [float(low), float(high)],
    }
