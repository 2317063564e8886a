"""Arrays that are tried together, and apart only where that matters."""

# Groups with less than this part of all entries are not divided: what a search
# within them saves is not worth a validation.
WORTHWHILE = 1 / 16


def by_size(sizes: list[int]) -> list[int]:
    """Returns the indices of all arrays with entries, the largest first."""
    indices = [index for index, size in enumerate(sizes) if size]
    return sorted(indices, key=lambda index: -sizes[index])


def halves(
    group: list[int], sizes: list[int], worthwhile: float = WORTHWHILE
) -> tuple[list[int], list[int]] | None:
    """Divides a group into two with about as many entries each.

    Args:
        group: list of int, indices, the largest array first.
        sizes: list of int, the entries of every array, those outside the
            group included.
        worthwhile: float, the part of all entries that a group must have to
            be divided.

    Returns:
        Two groups, or `None` if the group is not worth it.

    Example:

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
