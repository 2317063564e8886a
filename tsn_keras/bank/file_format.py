"""The byte format of a saved bank.

    magic "TSNB" | version, 1 byte | SHA-256 of all but itself, 32 bytes
    | length of metadata, 4 bytes | metadata | base
    | for each task: of each kernel own mask, shared mask, codes, codebook;
    |     private variables; statistics; what tells the task apart

All numbers are little-endian. The metadata say what the parts are: names,
widths, lengths. They are JSON, compressed by raw deflate with a dictionary of
what a bank is likely to say. Tasks are written as columns, so that what they
have in common stands side by side. What follows from other entries, the length
of codes and of private variables, is left out. Readers ignore keys that they
do not know.

| key | content |
| --- | --- |
| `shapes` | of each kernel |
| `base` | of each frozen weight: width, shape, dtype, length |
| `tasks` | columns: name, head, reference; no name: what others share of a |
| | removed task |
| `planes` | a column for each kernel |
| `components` | for each kernel, columns: width, own slots, bytes of the own |
| | mask, of the shared mask, and of the codebook |
| `private` | all lists of (shape, dtype) that occur; a column that says which |
| | of them a task has; a column of widths for each variable; the last |
| | one are the statistics |
| `inference` | how many of a task's last codes tell it from others; left out |
| | if no task has any |
| `facts` | all lists of names that occur; a column that says which of them a |
| | task has; a column of values for each name |
"""

import hashlib
import io
import itertools
import json
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tsn_keras.bank import packing
from tsn_keras.bank.records import (
    FLOAT_WIDTH,
    Component,
    PrivateCode,
    TaskRecord,
)
from tsn_keras.bank.saved_checks import check_metadata
from tsn_keras.files import DamagedFileError

MAGIC = b"TSNB"
VERSION = 7
# Versions before this had another checksum. Version 6 had no records without a
# name, and is read as well.
FIRST_DIGEST = FIRST_READ = 6
HEADER = struct.Struct("<4sB32s")
LENGTH = struct.Struct("<I")
# Metadata are at most so many times as long as the bank that they describe, and
# some more for names and facts.
_MOST_TIMES, _MOST_MORE = 32, 2**18
WINDOW = -zlib.MAX_WBITS
# Part of the format: another dictionary needs another version.
DICTIONARY = (
    b'["name","int32","int64","uint32","float16","float32"]],[0,0,0,0,null,'
    b'null,"loss","accuracy",["nearest","divergence","monitor","before",'
    b'"after"]],"shapes":[[784,100],[100,100],[3,3,64,128]],"base":[],"tasks":'
    b'[["task_0","task_1"],"planes":[[0,1,2,3,4,5,6,7,8,9],"components":[[[2,'
    b'3,4],"private":[[[[[100],"float32"],[[100,10],"float32"],[[10],"float32"'
    b']]],[0,0],"facts":[[["nearest","divergence","monitor","before","after"]]'
    b'{"shapes":[],"base":[],"tasks":[[],[],[],[]],"planes":[],"components":[]'
    b',"private":[[],[],[]],"facts":[[],[],[]]}'
)
Shapes = list[tuple[int, ...]]


def to_bytes(
    records: Sequence[TaskRecord],
    base: Iterable[PrivateCode],
    shapes: Shapes,
    metadata: bytes | None = None,
) -> bytes:
    """Returns the saved form of a bank: tasks, frozen weights, kernels.

    Args:
        metadata: What `write_metadata` returned for them, if it is known.
    """
    if metadata is None:
        metadata = write_metadata(records, base, shapes)
    parts = [LENGTH.pack(len(metadata)), metadata]
    parts += [code.data for code in base]
    for record in records:
        for c in record.components:
            codebook = c.codebook.tobytes()
            parts += [c.own_mask, c.shared_mask, c.codes, codebook]
        parts += [code.data for code in record.private]
        parts += [code.data for code in (record.statistics, *record.inference)]
    body = b"".join(parts)
    return HEADER.pack(MAGIC, VERSION, digest(VERSION, body)) + body


def digest(version: int, body: bytes) -> bytes:
    return hashlib.sha256(MAGIC + bytes([version]) + body).digest()


def count_bytes(
    records: Sequence[TaskRecord],
    base: Iterable[PrivateCode],
    metadata: bytes,
) -> dict[str, int]:
    """Returns the number of bytes of `to_bytes(...)` by kind."""
    components = [c for record in records for c in record.components]
    private = [code for record in records for code in record.private]
    apart = [code for record in records for code in record.inference]
    kinds = {
        "codes": sum(len(c.codes) for c in components),
        "masks": sum(len(c.own_mask + c.shared_mask) for c in components),
        "codebooks": sum(c.codebook.nbytes for c in components),
        "private": sum(len(code.data) for code in private),
        "statistics": sum(len(record.statistics.data) for record in records),
        "base": sum(len(code.data) for code in base),
        "metadata": HEADER.size + LENGTH.size + len(metadata),
    }
    if apart:
        kinds["inference"] = sum(len(code.data) for code in apart)
    return kinds


def from_bytes(
    data: bytes,
) -> tuple[list[TaskRecord], tuple[PrivateCode, ...], Shapes]:
    """Returns the tasks, the base and the kernels' shapes of a saved bank.

    Raises:
        DamagedFileError: If the data are no bank, of another version, damaged,
            or say what no bank can.
    """
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(
            "A saved weight bank must be bytes, as `WeightBank.to_bytes` "
            f"returns them. Received: {type(data).__name__}"
        )
    data = bytes(data)
    _check_header(data)
    file = io.BytesIO(data[HEADER.size :])
    (length,) = LENGTH.unpack(_take(file, LENGTH.size))
    metadata = _read_metadata(_take(file, length), len(data))
    check_metadata(metadata, len(data))
    base = tuple(
        _read_code(width, shape, dtype, file)
        for width, shape, dtype, _ in metadata["base"]
    )
    count = len(metadata["tasks"][0])
    records = [_read_record(metadata, index, file) for index in range(count)]
    if file.read(1):
        raise DamagedFileError(
            "The saved weight bank is damaged: it goes on after its last task. "
            "Load another copy of the file."
        )
    return records, base, [tuple(shape) for shape in metadata["shapes"]]


def _check_header(data: bytes) -> None:
    """Tells damage from another version: the digest holds for the latter."""
    if data[: len(MAGIC)] != MAGIC:
        raise DamagedFileError(
            f"A saved weight bank begins with {MAGIC!r}. Received "
            f"{data[: len(MAGIC)]!r}: the file was not written by tsn_keras, "
            "or is damaged."
        )
    _, version, found = HEADER.unpack(_take(io.BytesIO(data), HEADER.size))
    if digest(version, data[HEADER.size :]) != found:
        older = ""
        if version < FIRST_DIGEST:
            older = (
                f" Or it has format version {version}, and this tsn_keras "
                f"reads version {VERSION}: load it with the release that wrote "
                "it."
            )
        raise DamagedFileError(
            f"The saved weight bank is damaged: its {len(data)} bytes are not "
            f"those that were written. Load another copy of the file.{older}"
        )
    if not FIRST_READ <= version <= VERSION:
        raise DamagedFileError(
            f"The weight bank has format version {version}; this tsn_keras "
            f"reads version {VERSION}. Load it with the release that wrote it."
        )


def _read_metadata(packed: bytes, num_bytes: int) -> Any:
    """Decompresses metadata, as far as a bank of so many bytes has them."""
    text = zlib.decompressobj(wbits=WINDOW, zdict=DICTIONARY)
    most = _MOST_TIMES * num_bytes + _MOST_MORE
    try:
        read = text.decompress(packed, most)
        if text.eof and not text.unused_data:
            return json.loads(read)
    except (zlib.error, ValueError, RecursionError):
        pass
    raise DamagedFileError(
        "The saved weight bank is damaged, or was not written by tsn_keras: "
        "its metadata cannot be read. Load another copy of the file."
    )


def write_metadata(
    records: Sequence[TaskRecord], base: Iterable[PrivateCode], shapes: Shapes
) -> bytes:
    """Returns what says where each part of a saved bank is, compressed."""
    components = [
        [
            [c.width, c.own_count, len(c.own_mask), len(c.shared_mask)]
            + [c.codebook.nbytes]
            for c in record.components
        ]
        for record in records
    ]
    private = [
        [*record.private, record.statistics, *record.inference]
        for record in records
    ]
    kinds = [[[code.shape, code.dtype] for code in codes] for codes in private]
    widths = [[code.width for code in codes] for codes in private]
    facts = [record.facts for record in records]
    metadata = {
        "shapes": shapes,
        "base": [[c.width, c.shape, c.dtype, len(c.data)] for c in base],
        "tasks": [
            [record.name for record in records],
            [record.head for record in records],
            [record.reference for record in records],
        ],
        "planes": _transposed([record.planes for record in records]),
        "components": [_transposed(k) for k in _transposed(components)],
        "private": [*_numbered(kinds), _transposed(widths)],
        "facts": [
            *_numbered([list(names) for names in facts]),
            _transposed([list(values.values()) for values in facts]),
        ],
    }
    if any(record.inference for record in records):
        metadata["inference"] = [len(record.inference) for record in records]
    text = json.dumps(metadata, separators=(",", ":"))
    compressor = zlib.compressobj(9, wbits=WINDOW, zdict=DICTIONARY)
    return compressor.compress(text.encode()) + compressor.flush()


def _transposed(rows: list) -> list[list]:
    """Columns of rows; shorter rows are filled up."""
    return [list(column) for column in itertools.zip_longest(*rows)]


def _numbered(lists: list[list]) -> tuple[list[list], list[int]]:
    """The different lists, and the number of each one among them."""
    different: list[list] = []
    for one in lists:
        if one not in different:
            different.append(one)
    return different, [different.index(one) for one in lists]


def _take(file: io.BytesIO, length: int) -> bytes:
    part = file.read(length)
    if len(part) != length:
        raise DamagedFileError(
            "The saved weight bank is damaged: it ends after "
            f"{file.tell()} bytes, within a part of {length} bytes. Load "
            "another copy of the file."
        )
    return part


def _read_record(metadata: dict, index: int, file: io.BytesIO) -> TaskRecord:
    name, head, reference = (column[index] for column in metadata["tasks"])
    components = []
    for kernel in metadata["components"]:
        width, count, own, shared, book = (column[index] for column in kernel)
        component = Component(
            width=width,
            own_count=count,
            own_mask=_take(file, own),
            shared_mask=_take(file, shared),
            codes=_take(file, packing.num_bytes(count, width)),
            codebook=np.frombuffer(_take(file, book), np.float32),
        )
        _check_codes(component)
        components.append(component)
    kinds, numbers, widths = metadata["private"]
    codes = [
        _read_code(width[index], shape, dtype, file)
        for (shape, dtype), width in zip(kinds[numbers[index]], widths)
    ]
    apart = metadata["inference"][index] if "inference" in metadata else 0
    *private, statistics = codes[: len(codes) - apart]
    names, named, values = metadata["facts"]
    fact_values = (value[index] for value in values)
    return TaskRecord(
        name=name,
        planes=tuple(plane[index] for plane in metadata["planes"]),
        head=head,
        components=tuple(components),
        private=tuple(private),
        statistics=statistics,
        facts=dict(zip(names[named[index]], fact_values)),
        reference=reference,
        inference=tuple(codes[len(codes) - apart :]),
    )


def _check_codes(component: Component) -> None:
    """Refuses codes that no packing gives, or that no centroid has."""
    width, count = component.width, component.own_count
    if width == FLOAT_WIDTH or not count:
        return
    _check_end(component.codes, count * width)
    most = len(component.codebook)
    # With a full codebook every code is one.
    if most < 2**width and component.own_codes().max() >= most:
        raise DamagedFileError(
            "The saved weight bank is damaged, or was not written by "
            f"tsn_keras: a code is none of its {most} centroids. Load another "
            "copy of the file."
        )


def _check_end(stream: bytes, num_bits: int) -> None:
    if num_bits % 8 and stream[-1] >> num_bits % 8:
        raise DamagedFileError(
            "The saved weight bank is damaged, or was not written by "
            "tsn_keras: codes go on after the last one. Load another copy of "
            "the file."
        )


def _read_code(width: int, shape: list[int], dtype: str, file) -> PrivateCode:
    data = _take(file, PrivateCode.num_bytes(width, shape, dtype))
    if 0 < width <= packing.MAX_WIDTH:
        _check_end(data[8:], math.prod(shape) * width)
    return PrivateCode(width, tuple(shape), dtype, data)
