"""Lets sparse integer weights run under XNNPACK, or keeps it away from them."""

import copy
from typing import Any

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.flatbuffer import schema
from tsn_keras.lite.pointwise import as_convolution

BUILTIN = schema.BuiltinOperator
INT8 = schema.TensorType.INT8
CONVOLUTIONS = (BUILTIN.CONV_2D, BUILTIN.DEPTHWISE_CONV_2D)
WEIGHTS = 1


def guard_sparse_integers(content: bytes) -> bytes:
    """Changes the readers of sparse integer weights where XNNPACK fails.

    XNNPACK takes over an operator whose weights come from DENSIFY. With int8
    weights it can run convolutions of int8 activations, and fails to prepare
    any other. Hence FULLY_CONNECTED of int8 activations becomes a convolution
    of one pixel. For the rest there is an operator behind DENSIFY, BITCAST of
    int8 to int8: XNNPACK leaves weights from there to LiteRT's own kernels.

    Args:
        content: bytes of a file.

    Returns:
        bytes of a file that computes the same.
    """
    model = flatbuffer.read(content)
    changed = False
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if flatbuffer.code_of(model, operator) != BUILTIN.DENSIFY:
                continue
            if graph.tensors[operator.outputs[0]].type == INT8:
                changed = True
                if not _runs_in_xnnpack(model, graph, operator):
                    _add_barrier(model, graph, operator)
    return flatbuffer.write(model) if changed else content


def _runs_in_xnnpack(model: Any, graph: Any, densify: Any) -> bool:
    """Tells whether XNNPACK can run the only reader, perhaps changed."""
    target = densify.outputs[0]
    readers = [o for o in graph.operators if target in o.inputs]
    if len(readers) != 1 or readers[0].inputs[WEIGHTS] != target:
        return False
    reader = readers[0]
    if graph.tensors[reader.outputs[0]].type != INT8:
        return False
    code = flatbuffer.code_of(model, reader)
    if code == BUILTIN.FULLY_CONNECTED:
        return as_convolution(model, graph, densify, reader)
    return code in CONVOLUTIONS


def _add_barrier(model: Any, graph: Any, densify: Any) -> None:
    """Puts an operator between dense weights and all that read them."""
    source = densify.outputs[0]
    copied = copy.deepcopy(graph.tensors[source])
    copied.name = copied.name + b"_guarded"
    graph.tensors.append(copied)
    target = len(graph.tensors) - 1
    for reader in graph.operators:
        reader.inputs = [target if i == source else i for i in reader.inputs]
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.add_operator_code(model, BUILTIN.BITCAST)
    operator.inputs, operator.outputs = [source], [target]
    operator.builtinOptionsType = schema.BuiltinOptions.BitcastOptions
    operator.builtinOptions = schema.BitcastOptionsT()
    graph.operators.insert(graph.operators.index(densify) + 1, operator)
