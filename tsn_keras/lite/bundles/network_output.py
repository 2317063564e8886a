"""Lets a bundle's `select` put out the task as a .tflite file of its own."""

import numpy as np

from tsn_keras.lite.bundles.split_graph import SplitGraph
from tsn_keras.lite.files import cleanup
from tsn_keras.lite.files.flatbuffer import BUILTIN, FlatModel, buffer_places

# Constants of fewer bytes are written into the file's frame.
LARGE = 256


def put_out_networks(content: bytes) -> bytes:
    """Replaces the signature `compute` by an output `file` of `select`.

    `file` is a task's whole network, a .tflite file with constants for
    weights. The bytes that no task changes are constants of the bundle, and
    the weights come between them. All are float32, four bytes each, so that
    nothing has to be converted. Outputs of `select` are inputs of `compute`, by
    name.
    """
    model = FlatModel.from_bytes(content)
    decoded = model.outputs("select")
    sources = {
        index: decoded[name]
        for name, index in model.inputs("compute").items()
        if name in decoded
    }
    split = SplitGraph(model.graph("compute"), model.graph("select"), sources)
    split.hoist()
    split.fuse()
    network, parts = _network(model, split)
    file = _joined(split, network.to_bytes(), parts)
    model.replace_outputs("select", {"file": file})
    model.drop_signature("compute")
    cleanup.drop_unreachable(model)
    model.drop_buffers(join=True)
    return model.to_bytes()


def _network(
    model: FlatModel, split: SplitGraph
) -> tuple[FlatModel, dict[int, int]]:
    """Returns a model of `compute` alone, in which weights are zeros.

    The dict has the tensors of `selecting` that hold the bytes of its buffers.
    """
    network = model.extracted("compute", "serving_default")
    graph = network.graph("serving_default")
    weights: dict[int, int] = {}
    for index, source in split.sources.items():
        if source not in weights:
            shape = split.selecting.tensors[source].shape
            zeros = np.zeros(shape, np.float32)
            weights[source] = network.add_buffer(zeros.tobytes())
        graph.make_constant(index, weights[source])
    cleanup.drop_unreachable(network)
    for part in network.graphs:
        cleanup.drop_unused_tensors(part)
    sources = {buffer: source for source, buffer in weights.items()}
    parts = {}
    for old, new in network.drop_buffers(join=False).items():
        data = network.buffer(new).data
        if old in sources:
            parts[new] = split.flat(sources[old])
        elif data is not None and len(data) >= LARGE and not len(data) % 4:
            # A view of the bundle's own constant, as float32.
            parts[new] = split.selecting.add_tensor(
                (len(data) // 4,), buffer=old
            )
    return network, parts


def _joined(split: SplitGraph, content: bytes, parts: dict[int, int]) -> int:
    """Returns the tensor of `selecting` that joins a network's bytes."""
    places = sorted(
        (*place, parts[index])
        for index, place in buffer_places(content).items()
        if index in parts
    )
    tensors, end = [], 0
    for start, size, tensor in places:
        frame = np.frombuffer(content[end:start], np.float32)
        tensors += [split.selecting.add_constant(frame), tensor]
        end = start + size
    frame = np.frombuffer(content[end:], np.float32)
    tensors.append(split.selecting.add_constant(frame))
    shape = (len(content) // 4,)
    return split.selecting.append(BUILTIN.CONCATENATION, tensors, shape)
