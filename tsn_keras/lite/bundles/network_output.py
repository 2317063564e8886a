"""Lets a bundle's `select` put out the task as a .tflite file of its own."""

import numpy as np

from tsn_keras.lite.bundles.split_graph import SplitGraph
from tsn_keras.lite.files import cleanup
from tsn_keras.lite.files.flatbuffer import (
    BUILTIN,
    INT,
    FlatModel,
    Graph,
    buffer_places,
)

# Constants of fewer bytes are written into the file's frame.
LARGE = 256


def put_out_networks(content: bytes, numbers: dict[str, list[int]]) -> bytes:
    """Replaces the networks of a bundle by an output `file` of `select`.

    `file` is a task's whole network, a .tflite file with constants for
    weights. The bytes that no task changes are constants of the bundle, and
    the weights come between them. All are float32, four bytes each, so that
    nothing has to be converted. Outputs of `select` are inputs of the networks,
    by name.

    Args:
        numbers: dict, for the signature of each network the numbers of its
            tasks.
    """
    model = FlatModel.from_bytes(content)
    decoded = model.outputs("select")
    selecting = model.graph("select")
    files = []
    for name in numbers:
        sources = {
            index: decoded[weight]
            for weight, index in model.inputs(name).items()
            if weight in decoded
        }
        split = SplitGraph(model.graph(name), selecting, sources)
        split.hoist()
        split.fuse()
        network, parts = _network(model, split, name)
        files.append(_joined(split, network.to_bytes(), parts))
    file = files[0]
    if len(files) > 1:
        task = model.inputs("select")["task"]
        file = _chosen(selecting, files, list(numbers.values()), task)
    model.replace_outputs("select", {"file": file})
    for name in numbers:
        model.drop_signature(name)
    if len(files) > 1:
        # The networks have the backbone in common.
        selecting.join_equal_operators()
    cleanup.drop_unreachable(model)
    model.drop_buffers(join=True)
    return model.to_bytes()


def _chosen(
    graph: Graph, files: list[int], numbers: list[list[int]], task: int
) -> int:
    """Returns the tensor that holds the file of the task's network.

    All others are cut to nothing. All files get the length of the longest, so
    that hosts know it in advance: what is behind the end of one is not read.
    """
    lengths = [int(graph.tensors[file].shape[0]) for file in files]
    longest = max(lengths)
    count = sum(map(len, numbers))
    taken = np.zeros((len(files) + 1, count), np.int32)
    for file, length, tasks in zip(range(len(files)), lengths, numbers):
        taken[file, tasks] = length
        taken[-1, tasks] = longest - length
    start = graph.add_constant(np.zeros(1, np.int32))
    parts = []
    for file, table in zip([*files, files[np.argmax(lengths)]], taken):
        size = graph.append(
            BUILTIN.GATHER, [graph.add_constant(table), task], (1,), kind=INT
        )
        parts.append(graph.append(BUILTIN.SLICE, [file, start, size], (-1,)))
    return graph.append(BUILTIN.CONCATENATION, parts, (longest,))


def _network(
    model: FlatModel, split: SplitGraph, name: str
) -> tuple[FlatModel, dict[int, int]]:
    """Returns a model of one network alone, in which weights are zeros.

    The dict has the tensors of `selecting` that hold the bytes of its buffers.
    """
    network = model.extracted(name, "serving_default")
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
