"""Turns FULLY_CONNECTED into a convolution of one pixel."""

import copy
from typing import Any

import numpy as np

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.flatbuffer import schema

BUILTIN = schema.BuiltinOperator
DENSE = schema.DimensionType.DENSE
# The first CONV_2D with a scale for each unit.
VERSION = 3


def as_convolution(
    model: Any, graph: Any, densify: Any, connected: Any
) -> bool:
    """Replaces an operator of a matrix of sparse weights, if that is exact.

    Args:
        model: `schema.ModelT`, which is changed.
        graph: `schema.SubGraphT` of it.
        densify: `schema.OperatorT`, the DENSIFY of the weights.
        connected: `schema.OperatorT`, the FULLY_CONNECTED that reads them.

    Returns:
        bool, whether it was replaced.
    """
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
    _add_axes(graph, densify)
    pixel = _reshaped_copy(graph, source, size)
    result = _reshaped_copy(graph, output, units)
    convolution = schema.OperatorT()
    convolution.opcodeIndex = flatbuffer.add_operator_code(
        model, BUILTIN.CONV_2D, VERSION
    )
    convolution.inputs = [pixel, *inputs[1:3]]
    convolution.outputs = [result]
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.VALID
    options.strideW = options.strideH = 1
    options.fusedActivationFunction = (
        connected.builtinOptions.fusedActivationFunction
    )
    convolution.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    convolution.builtinOptions = options
    place = graph.operators.index(connected)
    graph.operators[place : place + 1] = [
        _reshape(model, graph, source, pixel, (-1, 1, 1, size)),
        convolution,
        _reshape(model, graph, result, output, (-1, units)),
    ]
    return True


def _add_axes(graph: Any, densify: Any) -> None:
    """Gives weights two axes of one entry, before and after DENSIFY."""
    sparse = graph.tensors[densify.inputs[0]]
    dense = graph.tensors[densify.outputs[0]]
    units, size = map(int, sparse.shape)
    for tensor in (sparse, dense):
        tensor.shape = np.array([units, 1, 1, size], np.int32)
        tensor.shapeSignature = None
    axes = []
    for _ in range(2):
        axis = schema.DimensionMetadataT()
        axis.format, axis.denseSize = DENSE, 1
        axes.append(axis)
    sparsity = sparse.sparsity
    first, last = sparsity.dimMetadata
    sparsity.dimMetadata = [first, *axes, last]
    sparsity.traversalOrder = np.arange(4, dtype=np.int32)


def _reshaped_copy(graph: Any, index: int, channels: int) -> int:
    """Returns a new tensor like another, of one pixel."""
    tensor = copy.deepcopy(graph.tensors[index])
    tensor.name = tensor.name + b"_pixel"
    batch = int(tensor.shape[0])
    tensor.shape = np.array([batch, 1, 1, channels], np.int32)
    if tensor.shapeSignature is not None:
        batch = int(tensor.shapeSignature[0])
        tensor.shapeSignature = np.array([batch, 1, 1, channels], np.int32)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _reshape(
    model: Any, graph: Any, source: int, target: int, shape: tuple[int, ...]
) -> Any:
    """Returns an operator that puts a tensor into another shape."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array(shape, np.int32).tobytes(), np.uint8)
    model.buffers.append(buffer)
    constant = schema.TensorT()
    constant.shape = np.array([len(shape)], np.int32)
    constant.type = schema.TensorType.INT32
    constant.buffer = len(model.buffers) - 1
    graph.tensors.append(constant)
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.add_operator_code(model, BUILTIN.RESHAPE)
    operator.inputs = [source, len(graph.tensors) - 1]
    operator.outputs = [target]
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = list(shape)
    return operator
