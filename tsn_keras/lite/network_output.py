"""Lets a bundle's `select` put out the task as a .tflite file of its own."""

import copy
from typing import Any

import numpy as np

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.division import Division
from tsn_keras.lite.flatbuffer import schema
from tsn_keras.lite.fusion import fuse
from tsn_keras.lite.slimming import join_buffers
from tsn_keras.lite.subgraphs import drop_unreachable, drop_unused_tensors

# Constants of fewer bytes are written into the file's frame.
LARGE = 256


def put_out_networks(content: bytes) -> bytes:
    """Replaces the signature `compute` by an output `file` of `select`.

    `file` is a task's whole network, a .tflite file with constants for
    weights. The bytes that no task changes are constants of the bundle, and
    between them come the weights. It is float32, four bytes in each, so that
    nothing has to be converted.

    Args:
        content: bytes of a bundle with the signatures `select` and `compute`,
            where outputs of the first are inputs of the second.

    Returns:
        bytes of a bundle without `compute`.
    """
    model = flatbuffer.read(content)
    signatures = {s.signatureKey.decode(): s for s in model.signatureDefs}
    compute, select = signatures["compute"], signatures["select"]
    decoded = {entry.name: entry.tensorIndex for entry in select.outputs}
    division = Division(
        model=model,
        predicting=model.subgraphs[compute.subgraphIndex],
        selecting=model.subgraphs[select.subgraphIndex],
        sources={
            int(entry.tensorIndex): int(decoded[entry.name])
            for entry in compute.inputs
            if entry.name in decoded
        },
    )
    division.hoist()
    fuse(division)
    network, parts = _network(division, compute)
    file = _joined(division, flatbuffer.write(network), parts)
    division.selecting.outputs = [file]
    output = schema.TensorMapT()
    output.name, output.tensorIndex = b"file", file
    select.outputs = [output]
    model.signatureDefs.remove(compute)
    drop_unreachable(model)
    join_buffers(model)
    return flatbuffer.write(model)


def _network(division: Division, compute: Any) -> tuple[Any, dict[int, int]]:
    """Returns a model of `compute` alone, in which weights are zeros.

    Returns:
        tuple of `schema.ModelT` and a dict: for buffers of it, the tensors
        of `selecting` that hold their bytes.
    """
    network = copy.copy(division.model)
    network.subgraphs = copy.deepcopy(network.subgraphs)
    network.operatorCodes = copy.deepcopy(network.operatorCodes)
    network.metadata, network.metadataBuffer = None, None
    network.signatureDefs = [_signature(division, compute)]
    graph = network.subgraphs[compute.subgraphIndex]
    graph.inputs = [
        index for index in graph.inputs if int(index) not in division.sources
    ]
    buffers = _Buffers(division)
    for index, source in division.sources.items():
        graph.tensors[index].buffer = buffers.of_weight(source)
    drop_unreachable(network)
    for number, part in enumerate(network.subgraphs):
        new_index = drop_unused_tensors(part)
        if number == 0:
            for entry in _entries(network.signatureDefs[0]):
                entry.tensorIndex = new_index[int(entry.tensorIndex)]
        for tensor in part.tensors:
            tensor.name = None
            tensor.buffer = buffers.index(tensor.buffer)
    network.buffers = buffers.all
    return network, buffers.parts


def _entries(signature: Any) -> list:
    return [*signature.inputs, *signature.outputs]


def _signature(division: Division, compute: Any) -> Any:
    """Returns the signature of a network: inputs and outputs of the model."""
    signature = copy.deepcopy(compute)
    signature.signatureKey = b"serving_default"
    signature.inputs = [
        entry
        for entry in signature.inputs
        if int(entry.tensorIndex) not in division.sources
    ]
    return signature


class _Buffers:
    """The buffers of a network, and where their bytes come from.

    Args:
        division: `Division`.
    """

    def __init__(self, division: Division):
        self._division = division
        self.all = [schema.BufferT()]
        self.parts: dict[int, int] = {}
        self._numbers: dict[int, int] = {}

    def of_weight(self, source: int) -> int:
        """Returns a mark for the weight of a tensor of `selecting`."""
        return -1 - source

    def index(self, old: int) -> int:
        """Returns the buffer that stands for one of the bundle, or a mark."""
        if old not in self._numbers:
            self._numbers[old] = self._add(old)
        return self._numbers[old]

    def _add(self, old: int) -> int:
        buffer = schema.BufferT()
        if old < 0:
            tensor = self._division.selecting.tensors[-1 - old]
            count = int(np.prod(tensor.shape, dtype=np.int64))
            buffer.data = np.zeros(4 * count, np.uint8)
            source = self._division.flat(-1 - old)
        else:
            buffer.data = self._division.model.buffers[old].data
            if buffer.data is None:
                return 0
            source = self._stored(old, len(buffer.data))
        self.all.append(buffer)
        if source is not None:
            self.parts[len(self.all) - 1] = source
        return len(self.all) - 1

    def _stored(self, old: int, size: int) -> int | None:
        """Returns a flat tensor over a large constant of the bundle."""
        if size < LARGE or size % 4:
            return None
        return self._division.add_view(old, size // 4)


def _joined(division: Division, content: bytes, parts: dict[int, int]) -> int:
    """Returns the tensor of `selecting` that joins a network's bytes.

    Args:
        division: `Division`.
        content: bytes of the network, with zeros for weights.
        parts: dict, for buffers of it the tensors that hold their bytes.
    """
    places = sorted(
        (*place, parts[index])
        for index, place in flatbuffer.buffer_places(content).items()
        if index in parts
    )
    tensors, end = [], 0
    for start, size, tensor in places:
        frame = np.frombuffer(content[end:start], np.float32)
        tensors += [division.add_constant(frame), tensor]
        end = start + size
    frame = np.frombuffer(content[end:], np.float32)
    tensors.append(division.add_constant(frame))
    return division.concatenated(tensors, len(content) // 4)
