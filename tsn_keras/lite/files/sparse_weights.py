"""Weights that a file stores without their zeros, as sparse tensors.

TensorFlow Lite's converter can do it, too. But it stores some tensors in more
bytes than they had, drops weights of others, and leaves embeddings as they are.
"""

from typing import Any

import numpy as np

from tsn_keras.lite.files.flatbuffer import (
    BUILTIN,
    INT8,
    NUMBERS,
    FlatModel,
    Graph,
    schema,
)

CONVOLUTIONS = (BUILTIN.CONV_2D, BUILTIN.DEPTHWISE_CONV_2D)
LAYERS = (*CONVOLUTIONS, BUILTIN.FULLY_CONNECTED)
WEIGHTS = 1
PRODUCTS = (*LAYERS, BUILTIN.BATCH_MATMUL, BUILTIN.TRANSPOSE_CONV)
# The input that is weights, of operators that run as fast with sparse ones.
WEIGHTS_OF = {**dict.fromkeys(PRODUCTS, WEIGHTS), BUILTIN.GATHER: 0}
# With int8 weights the other products would be far slower.
INT8_WEIGHTS_OF = {**dict.fromkeys(LAYERS, WEIGHTS), BUILTIN.GATHER: 0}
# The first CONV_2D with a scale for each unit.
CONVOLUTION_VERSION = 3
# What a sparse tensor and its DENSIFY take, roughly.
OVERHEAD = 300


def leave_out_zeros(content: bytes) -> bytes:
    """Stores weights as sparse tensors where that takes fewer bytes.

    An operator DENSIFY restores each when the file is loaded. All other
    weights stay as they are.
    """
    model = FlatModel.from_bytes(content)
    for graph in model.graphs:
        for index in weights_of(graph):
            _make_sparse(graph, index)
    model.drop_buffers(join=False)
    guard_integers(model)
    found = model.to_bytes()
    return found if len(found) < len(content) else content


def weights_of(graph: Graph) -> list[int]:
    """Returns the constants that are nothing but weights of operators."""
    return [
        index
        for index, tensor in enumerate(graph.tensors)
        if tensor.type in NUMBERS
        and tensor.sparsity is None
        and len(tensor.shape) > 1
        and graph.data(index) is not None
        and index not in graph.outputs
        and zero_is_zero(tensor)
        and _are_weights(graph, index)
    ]


def _are_weights(graph: Graph, index: int) -> bool:
    """Tells whether all that read a constant can have it from DENSIFY."""
    kind = graph.tensors[index].type
    weights_of = INT8_WEIGHTS_OF if kind == INT8 else WEIGHTS_OF
    for operator in graph.operators:
        places = np.flatnonzero(np.asarray(operator.inputs) == index)
        code = graph.model.code(operator)
        if code == BUILTIN.DEQUANTIZE and len(places):
            # XNNPACK computes nonsense from embeddings restored in two steps.
            if not _read_by_products(graph, int(operator.outputs[0])):
                return False
        elif any(place != weights_of.get(code) for place in places):
            return False
    return True


def _read_by_products(graph: Graph, index: int) -> bool:
    return index not in graph.outputs and all(
        graph.model.code(operator) in PRODUCTS
        for operator in graph.operators
        if index in operator.inputs
    )


def zero_is_zero(tensor: Any) -> bool:
    """Tells whether the number 0 stands for zero, as DENSIFY has it."""
    quantization = tensor.quantization
    points = None if quantization is None else quantization.zeroPoint
    return points is None or not np.any(points)


def _make_sparse(graph: Graph, index: int) -> None:
    """Stores a constant as a sparse tensor if that takes fewer bytes."""
    tensor = graph.tensors[index]
    values = np.frombuffer(bytes(graph.data(index)), NUMBERS[tensor.type])
    rows = values.reshape(-1, tensor.shape[-1])
    is_used = rows != 0
    ends = np.append(0, is_used.sum(axis=1)).cumsum()
    parts = [rows[is_used], ends, np.nonzero(is_used)[1]]
    parts[1:] = [part.astype(_fitting(part)) for part in parts[1:]]
    if sum(part.nbytes for part in parts) + OVERHEAD < values.nbytes:
        source = graph.add_variant(index, b"_sparse")
        graph.store_sparse(source, *parts)
        graph.restore_from(index, source)


def _fitting(numbers: np.ndarray) -> type:
    """Returns the smallest type for numbers that a file may have."""
    largest = numbers.max(initial=0)
    kinds = (np.uint8, np.uint16, np.int32)
    return next(kind for kind in kinds if largest <= np.iinfo(kind).max)


def guard_integers(model: FlatModel) -> None:
    """Changes the readers of sparse integer weights where XNNPACK fails.

    XNNPACK takes over an operator whose weights come from DENSIFY. With int8
    weights it can run convolutions of int8 activations, and fails to prepare
    any other. Hence FULLY_CONNECTED of int8 activations becomes a convolution
    of one pixel. For the rest there is an operator behind DENSIFY, BITCAST of
    int8 to int8: XNNPACK leaves weights from there to LiteRT's own kernels.
    """
    for graph in model.graphs:
        for operator in list(graph.operators):
            if model.code(operator) != BUILTIN.DENSIFY:
                continue
            if graph.tensors[operator.outputs[0]].type == INT8:
                if not _runs_in_xnnpack(graph, operator):
                    _add_barrier(graph, operator)


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
