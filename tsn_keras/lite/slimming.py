"""Takes out of a bundle's file what the converter adds and nobody needs."""

from typing import Any

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.flatbuffer import schema

STAYS = ("min_runtime_version",)


def slim(content: bytes) -> bytes:
    """Removes names of tensors, equal buffers, and most metadata.

    Args:
        content: bytes of a file.

    Returns:
        bytes of a file that computes the same.
    """
    model = flatbuffer.read(content)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name = None
            if tensor.quantization and tensor.quantization.scale is None:
                tensor.quantization = None
    model.metadata = [m for m in model.metadata if m.name.decode() in STAYS]
    join_buffers(model)
    return flatbuffer.write(model)


def join_buffers(model: Any) -> None:
    """Keeps one of equal buffers, and none that nothing refers to.

    Args:
        model: `schema.ModelT`, which is changed.
    """
    kept, number, new_index = [model.buffers[0]], {}, {0: 0}

    def move(index: int) -> int:
        if index in new_index:
            return new_index[index]
        data = model.buffers[index].data
        key = None if data is None else bytes(data)
        if key is None:
            # Without data they stand for what is computed.
            new_index[index] = 0
        else:
            if key not in number:
                number[key] = len(kept)
                kept.append(model.buffers[index])
            new_index[index] = number[key]
        return new_index[index]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = move(tensor.buffer)
    for metadata in model.metadata or []:
        metadata.buffer = move(metadata.buffer)
    model.buffers = kept


def add_metadata(content: bytes, name: str, data: bytes) -> bytes:
    """Puts a metadata buffer of a name into a file.

    Args:
        content: bytes of a file.
        name: str.
        data: bytes.
    """
    model = flatbuffer.read(content)
    buffer = schema.BufferT()
    buffer.data = list(data)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return flatbuffer.write(model)


def read_metadata(content: bytes, name: str) -> bytes | None:
    """Returns the metadata buffer of a name, or `None`."""
    model = flatbuffer.read(content)
    for entry in model.metadata or []:
        if entry.name.decode() == name:
            return bytes(model.buffers[entry.buffer].data)
    return None
