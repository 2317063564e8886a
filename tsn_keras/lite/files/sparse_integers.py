"""Sparse weights that LiteRT's converter or XNNPACK do not treat right."""

from typing import Any

import numpy as np

from tsn_keras.lite.files.flatbuffer import (
    BUILTIN,
    INT8,
    FlatModel,
    Graph,
    schema,
)

CONVOLUTIONS = (BUILTIN.CONV_2D, BUILTIN.DEPTHWISE_CONV_2D)
WEIGHTS = 1
# The first CONV_2D with a scale for each unit.
CONVOLUTION_VERSION = 3


def loses_weights(content: bytes) -> bool:
    """Tells whether weights are missing in a file with sparse tensors.

    Where the zeros of a FULLY_CONNECTED layer lie in blocks of inputs, the
    converter stores whole blocks, and drops what is behind the last one.
    """
    return any(
        _has_part_of_a_block(tensor)
        for graph in FlatModel.from_bytes(content).graphs
        for tensor in graph.tensors
        if tensor.sparsity is not None
    )


def _has_part_of_a_block(tensor: Any) -> bool:
    axes = tensor.sparsity.blockMap
    if axes is None:
        return False
    # The levels of the blocks come after those of the tensor's own axes.
    blocks = tensor.sparsity.dimMetadata[len(tensor.shape) :]
    return any(
        tensor.shape[axis] % block.denseSize
        for axis, block in zip(axes, blocks)
    )


def guard_sparse_integers(content: bytes) -> bytes:
    """Changes the readers of sparse integer weights where XNNPACK fails.

    XNNPACK takes over an operator whose weights come from DENSIFY. With int8
    weights it can run convolutions of int8 activations, and fails to prepare
    any other. Hence FULLY_CONNECTED of int8 activations becomes a convolution
    of one pixel. For the rest there is an operator behind DENSIFY, BITCAST of
    int8 to int8: XNNPACK leaves weights from there to LiteRT's own kernels.
    """
    model = FlatModel.from_bytes(content)
    changed = False
    for graph in model.graphs:
        for operator in list(graph.operators):
            if model.code(operator) != BUILTIN.DENSIFY:
                continue
            if graph.tensors[operator.outputs[0]].type == INT8:
                changed = True
                if not _runs_in_xnnpack(graph, operator):
                    _add_barrier(graph, operator)
    return model.to_bytes() if changed else content


def _runs_in_xnnpack(graph: Graph, densify: Any) -> bool:
    """Tells whether XNNPACK can run the only reader, perhaps changed."""
    target = densify.outputs[0]
    readers = [o for o in graph.operators if target in o.inputs]
    if len(readers) != 1 or readers[0].inputs[WEIGHTS] != target:
        return False
    reader = readers[0]
    if graph.tensors[reader.outputs[0]].type != INT8:
        return False
    code = graph.model.code(reader)
    if code == BUILTIN.FULLY_CONNECTED:
        return _as_convolution(graph, densify, reader)
    return code in CONVOLUTIONS


def _add_barrier(graph: Graph, densify: Any) -> None:
    """Puts an operator between dense weights and all that read them."""
    source = int(densify.outputs[0])
    target = graph.add_variant(source, b"_guarded")
    graph.read_instead(source, target)
    barrier = graph.make_operator(BUILTIN.BITCAST, [source], [target])
    graph.replace_operator(densify, [densify, barrier])


def _as_convolution(graph: Graph, densify: Any, connected: Any) -> bool:
    """Makes FULLY_CONNECTED a convolution if that is exact; tells whether."""
    inputs = [int(index) for index in connected.inputs]
    source, output = inputs[0], int(connected.outputs[0])
    sparse = graph.tensors[densify.inputs[0]]
    units, size = map(int, sparse.shape)
    ranks = [len(graph.tensors[index].shape) for index in (source, output)]
    if (
        ranks != [2, 2]
        or len(inputs) < 3
        or inputs[2] < 0
        or len(sparse.quantization.scale) != units
        or list(sparse.sparsity.traversalOrder) != [0, 1]
        or len(sparse.sparsity.dimMetadata) != 2
    ):
        return False
    graph.add_unit_axes(densify.inputs[0])
    graph.add_unit_axes(densify.outputs[0])
    pixel = graph.add_variant(source, b"_pixel", (1, 1, size))
    result = graph.add_variant(output, b"_pixel", (1, 1, units))
    activation = connected.builtinOptions.fusedActivationFunction
    convolution = graph.make_operator(
        BUILTIN.CONV_2D,
        [pixel, *inputs[1:3]],
        [result],
        CONVOLUTION_VERSION,
        padding=schema.Padding.VALID,
        strideW=1,
        strideH=1,
        fusedActivationFunction=activation,
    )
    before = _reshape(graph, source, pixel, (-1, 1, 1, size))
    after = _reshape(graph, result, output, (-1, units))
    graph.replace_operator(connected, [before, convolution, after])
    return True


def _reshape(graph: Graph, source: int, target: int, shape: tuple) -> Any:
    inputs = [source, graph.add_constant(np.array(shape, np.int32))]
    return graph.make_operator(
        BUILTIN.RESHAPE, inputs, [target], newShape=list(shape)
    )
