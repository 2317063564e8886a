"""The search for the smallest width of each kernel's codes."""

from collections.abc import Callable

import numpy as np

from tsn_keras.quantization.codebook import Codebook

Quality = Callable[[list[np.ndarray]], float]


def place_all(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    codebooks: list[Codebook | None],
) -> list[np.ndarray]:
    """Returns the kernels with all codebooks at work."""
    return [
        kernel if codebook is None else codebook.place(kernel, mask)
        for kernel, mask, codebook in zip(kernels, own, codebooks)
    ]


def search_widths(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    quality: Quality,
    acceptable: float,
    min_width: int,
    limits: list[int],
    kind: str = "clustered",
) -> list[Codebook]:
    """Grows the width of each kernel until the validated quality holds.

    The kernels are quantized one after the other, those with most own slots
    first, each with the ones before it already quantized. A kernel keeps the
    smallest width whose quality is acceptable, or else its limit.

    Args:
        kernels: list of float32 arrays, the effective kernels.
        own: list of bool arrays, the task's own slots.
        quality: function of a list of effective kernels; higher is better.
        acceptable: float, quality that must be reached.
        min_width: int, width in bits to begin with.
        limits: list of int, the widest code that each kernel has room for.
        kind: str, `clustered` or `linear`.

    Returns:
        list of `Codebook`.
    """
    codebooks: list[Codebook | None] = [None] * len(kernels)
    placed = list(kernels)
    for index in np.argsort([-mask.sum() for mask in own], kind="stable"):
        values = kernels[index][own[index]]
        for width in range(min(min_width, limits[index]), limits[index] + 1):
            codebook = Codebook.fit(values, width, kind)
            codebooks[index] = codebook
            if not values.size:
                break
            placed[index] = codebook.place(kernels[index], own[index])
            if quality(list(placed)) >= acceptable:
                break
    return codebooks


def widen_worst(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    codebooks: list[Codebook],
    limits: list[int],
    kind: str = "clustered",
) -> list[Codebook] | None:
    """Gives one more bit to the kernel that its codes distort most.

    The distortion is the squared error over the squared weights.

    Returns:
        The list of codebooks with one replaced, or `None` if all have their
        widest code or lose nothing.
    """
    distortions = []
    for kernel, mask, codebook, limit in zip(kernels, own, codebooks, limits):
        values = kernel[mask]
        error = np.square(values - codebook.values()).sum()
        gains = error > 0.0 and codebook.width < limit
        # Weights may all be zero and centroids have moved away from them.
        power = max(np.square(values).sum(), np.finfo(np.float32).tiny)
        distortions.append(error / power if gains else 0.0)
    worst = int(np.argmax(distortions))
    if not distortions[worst]:
        return None
    widened = list(codebooks)
    values = kernels[worst][own[worst]]
    widened[worst] = Codebook.fit(values, codebooks[worst].width + 1, kind)
    return widened
