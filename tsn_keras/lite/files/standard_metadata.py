"""TensorFlow Lite's standard metadata: what a file says of itself.

They are a flatbuffer of their own among the metadata of a file, and name files
that are appended as a ZIP archive. Android Studio, the Task Library, MediaPipe
and any program that opens ZIP archives read them. The schema is TensorFlow
Lite Support's `metadata_schema.fbs`, version 1.
"""

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers

from tsn_keras.lite.files.checksum import UNSIGNED, signed
from tsn_keras.lite.files.cleanup import STAYS
from tsn_keras.lite.files.flatbuffer import FlatModel
from tsn_keras.lite.runner import SIGNED

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER_VERSION = "1.0.0"
# Numbers of the schema.
DESCRIPTION, LABELS = 1, 2
FEATURE, IMAGE = 1, 2
RGB, GRAYSCALE = 1, 2
NORMALIZATION = 1
# ZIP archives know no earlier one: equal files have equal bytes.
DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True)
class Part:
    """A file that is appended, and what it is to the network."""

    name: str
    description: str
    content: bytes
    kind: int = DESCRIPTION


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output, as the metadata describe it.

    Args:
        channels: Of an image, 1 or 3; `None` for all else.
        is_ready: Whether the network takes raw values, and scales them itself.
        parts: Files that belong to it.
    """

    name: str
    description: str
    channels: int | None = None
    is_ready: bool = False
    parts: Sequence[Part] = ()


@dataclasses.dataclass(frozen=True)
class Network:
    """A file, as the metadata describe it; `parts` belong to it as a whole.

    Tensors are in the order of the file's own.
    """

    name: str
    description: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    parts: Sequence[Part] = ()

    @property
    def all_parts(self) -> list[Part]:
        tensors = [*self.inputs, *self.outputs]
        return [*self.parts, *(p for tensor in tensors for p in tensor.parts)]


def tensor_names(content: bytes) -> tuple[list[str], list[str]]:
    """Returns the names of a file's inputs and outputs, in its own order."""
    model = FlatModel.from_bytes(content)
    (signature,) = model.signatures
    graph = model.graph(signature)
    names = []
    for tensors, order in (
        (model.inputs(signature), graph.inputs),
        (model.outputs(signature), graph.outputs),
    ):
        by_index = {index: name for name, index in tensors.items()}
        names.append([by_index[index] for index in order])
    return names[0], names[1]


def with_metadata(
    content: bytes, network: Network, join: bool = False
) -> bytes:
    """Returns a file with metadata, and with all parts behind it.

    A checksum of all is the comment of the ZIP archive that the parts are in.

    Args:
        join: bool, whether equal arrays in the file are shared.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_network(network).write(builder), IDENTIFIER)
    model = FlatModel.from_bytes(content)
    model.add_metadata(NAME, bytes(builder.Output()))
    model.add_metadata(SIGNED, b"\1")
    file = io.BytesIO(model.to_bytes(join))
    # Appended to what is there. The Task Library reads no compressed parts.
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        for part in network.all_parts:
            archive.writestr(zipfile.ZipInfo(part.name, DATE), part.content)
        archive.comment = UNSIGNED
    return signed(file.getvalue())


def without_metadata(content: bytes) -> bytes:
    """Returns a file that says nothing of itself, and is smaller by that."""
    model = FlatModel.from_bytes(content)
    if model.metadata(NAME) is None:
        return content
    model.keep_metadata(STAYS)
    model.drop_buffers(join=False)
    return model.to_bytes(join=True)


def read_part(content: bytes, name: str) -> bytes | None:
    """Returns an appended file, `None` if there is none of that name."""
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        return archive.read(name) if name in archive.namelist() else None


class _Table:
    """A table of a flatbuffer: its values by the number of their field."""

    def __init__(self, size: int, values: dict[int, Any]):
        self._size = size
        self._values = {n: v for n, v in values.items() if v not in (None, [])}

    def write(self, builder: flatbuffers.Builder) -> int:
        """Writes it and all that it refers to; returns its place."""
        # Nothing can be written within a table.
        places = {n: _written(builder, v) for n, v in self._values.items()}
        builder.StartObject(self._size)
        for number, value in self._values.items():
            if isinstance(value, int):
                builder.PrependInt8Slot(number, value, 0)
            else:
                place = places[number]
                builder.PrependUOffsetTRelativeSlot(number, place, 0)
        return builder.EndObject()


def _written(builder: flatbuffers.Builder, value: Any) -> int | None:
    """Writes what a table refers to; returns its place."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, _Table):
        return value.write(builder)
    if not isinstance(value, list):
        return None
    are_floats = isinstance(value[0], float)
    places = value if are_floats else [_written(builder, v) for v in value]
    builder.StartVector(4, len(value), 4)
    for part in reversed(places):
        if are_floats:
            builder.PrependFloat32(part)
        else:
            builder.PrependUOffsetTRelative(part)
    return builder.EndVector()


def _network(network: Network) -> _Table:
    graph = _Table(
        7,
        {
            2: list(map(_input, network.inputs)),
            3: [_tensor(tensor, {}) for tensor in network.outputs],
        },
    )
    return _Table(
        8,
        {
            0: network.name,
            1: network.description,
            3: [graph],
            6: list(map(_part, network.parts)),
            7: PARSER_VERSION,
        },
    )


def _input(tensor: Tensor) -> _Table:
    kind, properties = FEATURE, _Table(0, {})
    if tensor.channels is not None:
        color = RGB if tensor.channels == 3 else GRAYSCALE
        kind, properties = IMAGE, _Table(2, {0: color})
    values = {3: _Table(3, {0: kind, 1: properties})}
    if tensor.is_ready:
        # What hosts do before: nothing.
        options = _Table(2, {0: [0.0], 1: [1.0]})
        values[4] = [_Table(2, {0: NORMALIZATION, 1: options})]
    return _tensor(tensor, values)


def _tensor(tensor: Tensor, values: dict[int, Any]) -> _Table:
    own = {0: tensor.name, 1: tensor.description}
    return _Table(7, {**own, **values, 6: list(map(_part, tensor.parts))})


def _part(part: Part) -> _Table:
    return _Table(4, {0: part.name, 1: part.description, 2: part.kind})
