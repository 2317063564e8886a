"""Values that do not belong where they are put, in nests of JSON."""

import copy

ODD = (None, True, -1, 0, 1, 7, 2**31, 2**60, 10**30, 0.5, float("nan"), "")
ODD += ("task 0", "\ud800", "a\nb", "float32", "object", [], {}, [[]], [1, [2]])


def places(value, path=()):
    """Yields the path of each value in nested lists and dicts."""
    yield path
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from places(part, (*path, index))


def changed(metadata, path, value):
    metadata = copy.deepcopy(metadata)
    if not path:
        return value
    inner = metadata
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return metadata
