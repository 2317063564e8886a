"""What a saved bank says about its parts: names, widths, lengths.

The entries of the tasks are written as columns, so that what tasks have in
common stands side by side, as JSON, and compressed. What follows from other
entries, the length of codes and of private variables, is left out. Readers
ignore keys that they do not know. The compression is raw deflate with a
dictionary of what a bank is likely to say.

| key | content |
| --- | --- |
| `shapes` | of each kernel |
| `base` | of each frozen weight: width, shape, dtype, length |
| `tasks` | columns: name, head, reference |
| `planes` | a column for each kernel |
| `components` | for each kernel, columns: width, own slots, bytes of the own |
| | mask, of the shared mask, and of the codebook |
| `private` | all lists of (shape, dtype) that occur; a column that says which |
| | of them a task has; a column of widths for each variable; the last |
| | one are the statistics |
| `facts` | all lists of names that occur; a column that says which of them a |
| | task has; a column of values for each name |
"""

import itertools
import json
import math
import zlib

import numpy as np

from tsn_keras.bank.private_code import CONSTANT, FULL, HALF, RAW

_WINDOW = -zlib.MAX_WBITS
# Part of the format: another dictionary needs another version.
_DICTIONARY = (
    b'["name","int32","int64","uint32","float16","float32"]],[0,0,0,0,null,'
    b'null,"loss","accuracy",["nearest","divergence","monitor","before",'
    b'"after"]],"shapes":[[784,100],[100,100],[3,3,64,128]],"base":[],"tasks":'
    b'[["task_0","task_1"],"planes":[[0,1,2,3,4,5,6,7,8,9],"components":[[[2,'
    b'3,4],"private":[[[[[100],"float32"],[[100,10],"float32"],[[10],"float32"'
    b']]],[0,0],"facts":[[["nearest","divergence","monitor","before","after"]]'
    b'{"shapes":[],"base":[],"tasks":[[],[],[],[]],"planes":[],"components":[]'
    b',"private":[[],[],[]],"facts":[[],[],[]]}'
)
_TASK_COLUMNS = ("name", "head", "reference")


def code_bytes(width: int, count: int) -> int:
    """Returns the bytes of `count` codes of a component."""
    return (count * width + 7) // 8


def private_bytes(width: int, shape: tuple[int, ...], dtype: str) -> int:
    """Returns the bytes of a private variable's code."""
    size = math.prod(shape)
    if width == RAW:
        return size * np.dtype(dtype).itemsize
    if width == CONSTANT:
        return 4
    if width in (HALF, FULL):
        return size * width // 8
    return 8 + (size * width + 7) // 8


def encode_metadata(
    entries: list[dict], base: list[list], shapes: list[tuple[int, ...]]
) -> bytes:
    """Compresses the description of a bank.

    Args:
        entries: list of dict, one a task: the task columns' entries, `planes`,
            `components` (lists of width, own slots and four lengths),
            `private` (lists of width, shape, dtype, length) and `facts`.
        base: list of such lists, of the frozen weights.
        shapes: list of tuples of int, the kernels' shapes.
    """
    components = [
        [
            [width, own, *lengths[:2], lengths[3]]
            for width, own, *lengths in entry["components"]
        ]
        for entry in entries
    ]
    private = [entry["private"] for entry in entries]
    kinds = [[code[1:3] for code in codes] for codes in private]
    widths = [[code[0] for code in codes] for codes in private]
    facts = [entry["facts"] for entry in entries]
    columns = {
        "shapes": shapes,
        "base": base,
        "tasks": [[entry[k] for entry in entries] for k in _TASK_COLUMNS],
        "planes": _transposed([entry["planes"] for entry in entries]),
        "components": [_transposed(k) for k in _transposed(components)],
        "private": [*_numbered(kinds), _transposed(widths)],
        "facts": [
            *_numbered([list(names) for names in facts]),
            _transposed([list(values.values()) for values in facts]),
        ],
    }
    text = json.dumps(columns, separators=(",", ":"))
    compressor = zlib.compressobj(9, wbits=_WINDOW, zdict=_DICTIONARY)
    return compressor.compress(text.encode()) + compressor.flush()


def decode_metadata(
    data: bytes,
) -> tuple[list[dict], list[list], list[tuple[int, ...]]]:
    """Returns what was given to `encode_metadata`."""
    text = zlib.decompressobj(wbits=_WINDOW, zdict=_DICTIONARY)
    columns = json.loads(text.decompress(data))
    tasks = zip(*columns["tasks"])
    entries = [dict(zip(_TASK_COLUMNS, values)) for values in tasks]
    kinds, numbers, widths = columns["private"]
    names, named, values = columns["facts"]
    for index, entry in enumerate(entries):
        entry["planes"] = [plane[index] for plane in columns["planes"]]
        components = (
            [column[index] for column in kernel]
            for kernel in columns["components"]
        )
        entry["components"] = [
            [width, own, *masks, code_bytes(width, own), codebook]
            for width, own, *masks, codebook in components
        ]
        entry["private"] = [
            [width[index], shape, dtype]
            + [private_bytes(width[index], shape, dtype)]
            for (shape, dtype), width in zip(kinds[numbers[index]], widths)
        ]
        entry["facts"] = {
            name: value[index]
            for name, value in zip(names[named[index]], values)
        }
    shapes = [tuple(shape) for shape in columns["shapes"]]
    return entries, columns["base"], shapes


def _transposed(rows: list[list]) -> list[list]:
    """Columns of rows; shorter rows are filled up."""
    return [list(column) for column in itertools.zip_longest(*rows)]


def _numbered(lists: list[list]) -> tuple[list[list], list[int]]:
    """The different lists, and the number of each one among them."""
    different: list[list] = []
    for one in lists:
        if one not in different:
            different.append(one)
    return different, [different.index(one) for one in lists]
