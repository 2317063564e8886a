"""The search for the smallest width of each kernel's codes."""

import math
from collections.abc import Callable

import numpy as np

from tsn_keras.quantization.codebook import Codebook

# Groups with less than this part of all entries are not divided: a search
# within them saves too little for a validation.
WORTHWHILE = 1 / 16


def place_all(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    codebooks: list[Codebook | None],
) -> list[np.ndarray]:
    """Returns the kernels with the weights of their codebooks."""
    return [
        kernel if codebook is None else codebook.place(kernel, mask)
        for kernel, mask, codebook in zip(kernels, own, codebooks)
    ]


def code_bits(widths: list[int], sizes: list[int]) -> int:
    """Returns the bits that the codes and codebooks of all kernels take.

    `sizes` are the numbers of their own slots.

    >>> code_bits(widths=[2, 3], sizes=[100, 10])
    614
    """
    kernels = zip(widths, sizes)
    return sum(width * size + 32 * 2**width for width, size in kernels)


def search_widths(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    quality: Callable[[list[np.ndarray]], float],
    acceptable: float,
    min_width: int,
    limits: list[int],
    kind: str = "clustered",
    max_bits: float = math.inf,
) -> list[Codebook]:
    """Grows the widths of kernels until the validated quality holds.

    First all kernels are quantized with the smallest width, as one group. A
    group whose quality is not acceptable is divided into halves. These are
    quantized one after the other, each with what came before it. A single
    kernel, or a group of small ones, gets one bit more. So a deep network takes
    few validations if the smallest width is enough for most of its kernels.

    Args:
        kernels: float32 arrays, the effective kernels.
        own: bool arrays, the task's own slots.
        quality: function of the effective kernels; higher is better.
        acceptable: quality that must be reached.
        min_width: bits to begin with.
        limits: bits of the widest code that each kernel has room for.
        kind: of codebook, as `Codebook.fit` takes it.
        max_bits: bits that all codes and codebooks together may take.
    """
    widths = [min(min_width, limit) for limit in limits]
    sizes = [np.count_nonzero(mask) for mask in own]
    placed = list(kernels)

    def fitted(index):
        values = kernels[index][own[index]]
        return Codebook.fit(values, widths[index], kind)

    codebooks = [fitted(index) for index in range(len(kernels))]
    groups = [by_size(sizes)]
    while groups:
        group = groups.pop()
        for index in group:
            placed[index] = codebooks[index].place(kernels[index], own[index])
        growing = _growing(group, widths, sizes, limits, max_bits)
        if not growing or quality(list(placed)) >= acceptable:
            continue
        parts = halves(group, sizes)
        if parts is not None:
            for index in group:
                placed[index] = kernels[index]
            groups += reversed(parts)
            continue
        for index in growing:
            widths[index] += 1
            codebooks[index] = fitted(index)
        groups.append(group)
    return codebooks


def _growing(group, widths, sizes, limits, max_bits) -> list[int]:
    """Returns the kernels of a group that can all have one bit more."""
    growing, wider = [], list(widths)
    for index in group:
        wider[index] += 1
        has_room = wider[index] <= limits[index]
        if has_room and code_bits(wider, sizes) <= max_bits:
            growing.append(index)
        else:
            wider[index] -= 1
    return growing


def widen_worst(
    kernels: list[np.ndarray],
    own: list[np.ndarray],
    codebooks: list[Codebook],
    limits: list[int],
    kind: str = "clustered",
    max_bits: float = math.inf,
) -> list[Codebook] | None:
    """Gives one more bit to the kernel that its codes distort most.

    The distortion is the squared error over the squared weights. Returns
    `None` if every kernel has its widest code, loses nothing or has no bits
    left.
    """
    widths = [codebook.width for codebook in codebooks]
    sizes = [codebook.codes.size for codebook in codebooks]
    weights = [kernel[mask] for kernel, mask in zip(kernels, own)]
    distortions = []
    for index, (values, codebook) in enumerate(zip(weights, codebooks)):
        error = np.square(values - codebook.values()).sum()
        grows = _growing([index], widths, sizes, limits, max_bits)
        # All weights may be zero, with centroids that have moved away.
        power = max(np.square(values).sum(), np.finfo(np.float32).tiny)
        distortions.append(error / power if error > 0.0 and grows else 0.0)
    worst = int(np.argmax(distortions))
    if not distortions[worst]:
        return None
    widened = list(codebooks)
    widened[worst] = Codebook.fit(weights[worst], widths[worst] + 1, kind)
    return widened


def by_size(sizes: list[int]) -> list[int]:
    """Returns the indices of all arrays with entries, the largest first."""
    indices = [index for index, size in enumerate(sizes) if size]
    return sorted(indices, key=lambda index: -sizes[index])


def halves(
    group: list[int], sizes: list[int], worthwhile: float = WORTHWHILE
) -> tuple[list[int], list[int]] | None:
    """Divides a group into two with about as many entries each.

    A group that has less than the part `worthwhile` of all entries is not
    divided, nor is a single array.

    Args:
        group: indices, the largest array first.
        sizes: the entries of every array, also of those outside the group.

    >>> halves([2, 0, 1], [30, 20, 50])
    ([2], [0, 1])
    >>> halves([2], [30, 20, 50]) is None
    True
    """
    entries = sum(sizes[index] for index in group)
    if len(group) < 2 or entries < worthwhile * sum(sizes):
        return None
    count = taken = 0
    while count < len(group) - 1 and 2 * taken < entries:
        taken += sizes[group[count]]
        count += 1
    return group[:count], group[count:]
