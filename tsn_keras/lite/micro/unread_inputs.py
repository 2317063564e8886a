"""Inputs of a dense layer that all its units leave out."""

from typing import Any

import numpy as np

from tsn_keras.lite.files.flatbuffer import BUILTIN, INT8, Graph
from tsn_keras.lite.files.sparse_weights import WEIGHTS, zero_is_zero

# What the operator GATHER, its tensors and buffers take in a file, roughly.
OVERHEAD = 300
# The first version that takes int8.
GATHER_VERSION = 2
# Bytes of the place of one input that is read.
PLACE = 4


def leave_out_unread_inputs(graph: Graph) -> None:
    """Lets dense layers read only inputs that they have weights for.

    Pixels at the border, and units that were pruned, are often read by no
    unit. A GATHER picks the others, where the file gets smaller by that. The
    layer has fewer weights then, and takes less memory when it is decoded.
    Outputs stay the same to the bit: a weight of zero adds nothing.
    """
    for operator in list(graph.operators):
        if graph.model.code(operator) == BUILTIN.FULLY_CONNECTED:
            _gather(graph, operator)


def _gather(graph: Graph, layer: Any) -> None:
    source, index = int(layer.inputs[0]), int(layer.inputs[WEIGHTS])
    tensor, data = graph.tensors[index], graph.data(index)
    if data is None or tensor.type != INT8:
        return
    weights = np.frombuffer(bytes(data), np.int8).reshape(tensor.shape)
    read = np.flatnonzero((weights != 0).any(axis=0)).astype(np.int32)
    units, size = weights.shape
    # Each of the zeros takes a bit.
    saved = units * (size - len(read)) // 8
    if list(graph.tensors[source].shape) != [1, size] or not len(read):
        return
    if saved <= PLACE * len(read) + OVERHEAD or not zero_is_zero(tensor):
        return
    picked = graph.add_variant(source, b"_read", (len(read),))
    graph.make_computed(picked)
    places = graph.add_constant(read)
    gather = graph.make_operator(
        BUILTIN.GATHER, [source, places], [picked], GATHER_VERSION, axis=1
    )
    kept = graph.add_variant(index, b"_read", (len(read),))
    graph.set_data(kept, weights[:, read].tobytes())
    graph.replace_input(layer, 0, picked)
    graph.replace_input(layer, WEIGHTS, kept)
    graph.replace_operator(layer, [gather, layer])
