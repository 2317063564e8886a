"""One file of several networks, of which an integer chooses the one to run.

A tree of `IF`: each compares the number of the task and runs one of two
graphs, down to the network of the task. Nothing else of the others runs. A
number below 0 means the first task, one that is too large the last.
"""

from collections.abc import Sequence

import numpy as np

from tsn_keras.lite.files.flatbuffer import (
    BOOL,
    BUILTIN,
    INT,
    FlatModel,
    Graph,
)

SIGNATURE = "serving_default"
TASK, INPUTS, OUTPUTS = "task", "inputs", "outputs"
# The first version of PADV2 that takes int8.
PAD_VERSION = 2
LOWEST = -128


def with_task_choice(networks: Sequence[FlatModel]) -> FlatModel:
    """Returns one file that takes the number of a task and its input.

    Args:
        networks: files of one graph with one input of the same shape and one
            output `(1, classes)`. Where others have more classes, an output
            is filled up at the end with the lowest number.
    """
    model = FlatModel.empty()
    # The first graph is the one that is run.
    root = model.add_graph() if len(networks) > 1 else None
    classes = max(_classes(network) for network in networks)
    numbers = []
    for network in networks:
        graph = model.add_graph_of(network)
        _pad_output(graph, classes)
        task = graph.add_tensor([1], INT)
        graph.set_places([task, *graph.inputs], graph.outputs)
        numbers.append(len(model.graphs) - 1)
    if root is not None:
        _choose(root, numbers, 0)
    model.add_signature(0, SIGNATURE, [TASK, INPUTS], [OUTPUTS])
    model.drop_buffers(join=True)
    return model


def _classes(network: FlatModel) -> int:
    (graph,) = network.graphs
    return int(graph.tensors[graph.outputs[0]].shape[-1])


def _pad_output(graph: Graph, classes: int) -> None:
    (output,) = graph.outputs
    tensor = graph.tensors[output]
    missing = classes - int(tensor.shape[-1])
    if not missing:
        return
    widths = np.zeros((len(tensor.shape), 2), np.int32)
    widths[-1, 1] = missing
    lowest = graph.add_variant(output, b"_lowest")
    graph.make_scalar(lowest, np.int8(LOWEST).tobytes())
    inner = [*tensor.shape[1:-1], classes]
    padded = graph.add_variant(output, b"_padded", inner)
    inputs = [output, graph.add_constant(widths), lowest]
    pad = graph.make_operator(BUILTIN.PADV2, inputs, [padded], PAD_VERSION)
    graph.add_operator(pad)
    graph.set_places(graph.inputs, [padded])


def _choose(graph: Graph, numbers: list[int], first: int) -> None:
    """Lets a graph run one of several others, by the number of the task.

    Args:
        numbers: Of the graphs to choose from.
        first: The task that the first of them belongs to.
    """
    model = graph.model
    like = model.graphs[numbers[0]]
    task = graph.add_tensor([1], INT)
    taken = graph.add_copy(like.tensors[like.inputs[1]])
    given = graph.add_copy(like.tensors[like.outputs[0]])
    leaves = [model.graphs[number] for number in numbers]
    # Where tasks differ in them, the metadata tell.
    if len({leaf.scale(leaf.inputs[1]) for leaf in leaves}) > 1:
        graph.strip_quantization(taken)
    if len({leaf.scale(leaf.outputs[0]) for leaf in leaves}) > 1:
        graph.strip_quantization(given)
    graph.set_places([task, taken], [given])
    half = (len(numbers) + 1) // 2
    branches = []
    for part, start in ((numbers[:half], 0), (numbers[half:], half)):
        if len(part) > 1:
            branch = model.add_graph()
            _choose(branch, part, first + start)
            part = [model.graphs.index(branch)]
        branches += part
    middle = graph.add_constant(np.array([first + half], np.int32))
    is_less = graph.append(BUILTIN.LESS, [task, middle], [1], BOOL)
    choice = graph.make_operator(
        BUILTIN.IF,
        [is_less, task, taken],
        [given],
        thenSubgraphIndex=branches[0],
        elseSubgraphIndex=branches[1],
    )
    graph.add_operator(choice)
