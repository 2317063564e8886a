"""The byte format of a saved bank.

    magic "TSNB" | version, 1 byte | CRC-32 of all that follows, 4 bytes
    | length of metadata, 4 bytes | metadata | base
    | for each task and kernel: own mask, shared mask, codes, codebook
    | for each task: private variables, statistics

The metadata (`metadata`) holds names, widths and the lengths of all parts. All
numbers are little-endian.
"""

import struct
import zlib
from collections.abc import Iterable

import numpy as np

from tsn_keras.bank.component import Component
from tsn_keras.bank.metadata import decode_metadata, encode_metadata
from tsn_keras.bank.private_code import PrivateCode
from tsn_keras.bank.task_record import TaskRecord

MAGIC = b"TSNB"
VERSION = 5
HEADER = struct.Struct("<4sBI")
LENGTH = struct.Struct("<I")


def _component_parts(component: Component) -> list[bytes]:
    return [
        component.own_mask,
        component.shared_mask,
        component.codes,
        component.codebook.tobytes(),
    ]


def _describe_codes(codes: Iterable[PrivateCode]) -> list[list]:
    return [
        [code.width, code.shape, code.dtype, len(code.data)] for code in codes
    ]


def _describe(record: TaskRecord) -> dict:
    components = [
        [c.width, c.own_count, *map(len, _component_parts(c))]
        for c in record.components
    ]
    return {
        "name": record.name,
        "planes": record.planes,
        "reference": record.reference,
        "head": record.head,
        "components": components,
        "private": _describe_codes([*record.private, record.statistics]),
        "facts": record.facts,
    }


def _metadata(records, base, shapes) -> bytes:
    entries = [_describe(record) for record in records]
    return encode_metadata(entries, _describe_codes(base), shapes)


def to_bytes(
    records: list[TaskRecord],
    base: Iterable[PrivateCode],
    shapes: list[tuple[int, ...]],
) -> bytes:
    """Returns the saved form of a bank.

    Args:
        records: list of `TaskRecord`.
        base: tuple of `PrivateCode`, one a frozen weight.
        shapes: list of tuples of int, the kernels' shapes.

    Returns:
        bytes.
    """
    metadata = _metadata(records, base, shapes)
    parts = [LENGTH.pack(len(metadata)), metadata]
    parts += [code.data for code in base]
    for record in records:
        for component in record.components:
            parts += _component_parts(component)
        parts += [code.data for code in record.private]
        parts.append(record.statistics.data)
    body = b"".join(parts)
    return HEADER.pack(MAGIC, VERSION, zlib.crc32(body)) + body


def count_bytes(
    records: list[TaskRecord],
    base: Iterable[PrivateCode],
    shapes: list[tuple[int, ...]],
) -> dict[str, int]:
    """Returns the number of bytes of `to_bytes(...)` by kind."""
    components = [c for record in records for c in record.components]
    masks = [len(c.own_mask) + len(c.shared_mask) for c in components]
    private = [len(code.data) for r in records for code in r.private]
    return {
        "codes": sum(len(c.codes) for c in components),
        "masks": sum(masks),
        "codebooks": sum(c.codebook.nbytes for c in components),
        "private": sum(private),
        "statistics": sum(len(record.statistics.data) for record in records),
        "base": sum(len(code.data) for code in base),
        "metadata": HEADER.size
        + LENGTH.size
        + len(_metadata(records, base, shapes)),
    }


class _Reader:
    """Takes parts off the front of a byte string."""

    def __init__(self, data: bytes):
        self.data = data
        self.position = 0

    def take(self, length: int) -> bytes:
        part = self.data[self.position : self.position + length]
        if len(part) != length:
            raise ValueError(
                "The saved weight bank is damaged: it ends after "
                f"{len(self.data)} bytes, within a part of {length} bytes. "
                "Load another copy of the file."
            )
        self.position += length
        return part


def from_bytes(
    data: bytes,
) -> tuple[list[TaskRecord], tuple[PrivateCode, ...], list[tuple[int, ...]]]:
    """Returns the tasks, the base and the kernels' shapes of a saved bank.

    Args:
        data: bytes, as `to_bytes` made them.

    Returns:
        list of `TaskRecord`, tuple of `PrivateCode`, and list of tuples.

    Raises:
        ValueError: If the data are no bank, of another version, or damaged.
    """
    reader = _Reader(data)
    magic, version, checksum = HEADER.unpack(reader.take(HEADER.size))
    if magic != MAGIC:
        raise ValueError(
            f"A saved weight bank begins with {MAGIC!r}. Received {magic!r}: "
            "the file was not written by tsn_keras, or is damaged."
        )
    if version != VERSION:
        raise ValueError(
            f"The weight bank has format version {version}; this tsn_keras "
            f"reads version {VERSION}. Load it with the release that wrote it."
        )
    if zlib.crc32(data[HEADER.size :]) != checksum:
        raise ValueError(
            f"The saved weight bank is damaged: its {len(data)} bytes are not "
            "those that were written. Load another copy of the file."
        )
    (length,) = LENGTH.unpack(reader.take(LENGTH.size))
    tasks, base, shapes = decode_metadata(reader.take(length))
    base = _read_codes(base, reader)
    return [_read_record(task, reader) for task in tasks], base, shapes


def _read_codes(entries: list, reader: _Reader) -> tuple[PrivateCode, ...]:
    return tuple(
        PrivateCode(width, tuple(shape), dtype, reader.take(length))
        for width, shape, dtype, length in entries
    )


def _read_record(entry: dict, reader: _Reader) -> TaskRecord:
    components = []
    for width, own_count, own, shared, codes, codebook in entry["components"]:
        component = Component(
            width=width,
            own_count=own_count,
            own_mask=reader.take(own),
            shared_mask=reader.take(shared),
            codes=reader.take(codes),
            codebook=np.frombuffer(reader.take(codebook), np.float32),
        )
        components.append(component)
    *private, statistics = _read_codes(entry["private"], reader)
    return TaskRecord(
        name=entry["name"],
        planes=tuple(entry["planes"]),
        head=entry["head"],
        components=tuple(components),
        private=tuple(private),
        statistics=statistics,
        facts=entry["facts"],
        reference=entry["reference"],
    )

