"""Keeps XNNPACK away from sparse integer weights."""

import copy

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.flatbuffer import schema


def guard_sparse_integers(content: bytes) -> bytes:
    """Puts an operator behind every DENSIFY of integer weights.

    XNNPACK takes over an operator whose weights come from DENSIFY and then
    fails to prepare it if they are int8. It leaves weights from BITCAST, here
    of int8 to int8, to LiteRT's own kernels.

    Args:
        content: bytes of a file.

    Returns:
        bytes of a file that computes the same.
    """
    model = flatbuffer.read(content)
    changed = False
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators:
            operators.append(operator)
            code = model.operatorCodes[operator.opcodeIndex]
            if flatbuffer.builtin_code(code) != schema.BuiltinOperator.DENSIFY:
                continue
            source = operator.outputs[0]
            if graph.tensors[source].type == schema.TensorType.INT8:
                operators.append(_barrier(model, graph, source))
                changed = True
        graph.operators = operators
    return flatbuffer.write(model) if changed else content


def _barrier(model, graph, source: int):
    """Returns an operator between a tensor and all that read it."""
    copied = copy.deepcopy(graph.tensors[source])
    copied.name = copied.name + b"_guarded"
    graph.tensors.append(copied)
    target = len(graph.tensors) - 1
    for reader in graph.operators:
        reader.inputs = [target if i == source else i for i in reader.inputs]
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.add_operator_code(
        model, schema.BuiltinOperator.BITCAST
    )
    operator.inputs, operator.outputs = [source], [target]
    operator.builtinOptionsType = schema.BuiltinOptions.BitcastOptions
    operator.builtinOptions = schema.BitcastOptionsT()
    return operator
