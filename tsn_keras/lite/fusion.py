"""Makes scales and shifts behind a layer part of its weights."""

from typing import Any

from tsn_keras.lite.division import BUILTIN, FLOAT, Division, new_tensor
from tsn_keras.lite.flatbuffer import schema

NONE = schema.ActivationFunctionType.NONE
# The axis of units in the weights of each operator.
UNIT_AXES = {
    BUILTIN.FULLY_CONNECTED: 0,
    BUILTIN.CONV_2D: 0,
    BUILTIN.DEPTHWISE_CONV_2D: 3,
}
# The inputs of these operators.
WEIGHTS, BIAS = 1, 2


def fuse(division: Division) -> None:
    """Fuses MUL, ADD and SUB of weights into the operator before them.

    The converter does so with constants only. Batch normalization behind a
    convolution then costs nothing, and a Dense layer is one operator.

    Args:
        division: `Division`, which is changed.
    """
    while _fuse_one(division):
        pass


def _fuse_one(division: Division) -> bool:
    graph = division.predicting
    uses: dict[int, list] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            uses.setdefault(int(index), []).append(operator)
    for layer in graph.operators:
        if division.code(layer) not in UNIT_AXES:
            continue
        output = int(layer.outputs[0])
        followers = uses.get(output, [])
        is_linear = layer.builtinOptions.fusedActivationFunction == NONE
        if len(followers) != 1 or output in graph.outputs or not is_linear:
            continue
        follower = followers[0]
        if _fused(division, layer, follower):
            layer.outputs = follower.outputs
            layer.builtinOptions.fusedActivationFunction = (
                follower.builtinOptions.fusedActivationFunction
            )
            graph.operators.remove(follower)
            return True
    return False


def _fused(division: Division, layer: Any, follower: Any) -> bool:
    """Changes a layer's weights or bias, if the follower can be fused."""
    code = division.code(follower)
    if code not in (BUILTIN.MUL, BUILTIN.ADD):
        return False
    output = int(layer.outputs[0])
    others = [int(i) for i in follower.inputs if i != output]
    tensors = division.predicting.tensors
    weights = tensors[int(layer.inputs[WEIGHTS])]
    units = int(weights.shape[UNIT_AXES[division.code(layer)]])
    if (
        len(others) != 1
        or not division.is_weight(others[0])
        or not division.is_weight(int(layer.inputs[WEIGHTS]))
        or list(tensors[others[0]].shape) != [units]
    ):
        return False
    if code == BUILTIN.MUL:
        _scale(division, layer, others[0], units)
    else:
        _shift(division, layer, others[0], units)
    return True


def _scale(division: Division, layer: Any, scale: int, units: int) -> None:
    index = int(layer.inputs[WEIGHTS])
    shape = tuple(division.predicting.tensors[index].shape)
    axis = UNIT_AXES[division.code(layer)]
    factor = division.source(scale)
    if axis == 0:
        ones = (1,) * (len(shape) - 1)
        factor = division.reshaped(factor, (units, *ones))
    inputs = [division.source(index), factor]
    scaled = division.add_operator(
        BUILTIN.MUL, inputs, shape, schema.MulOptionsT()
    )
    _replace(division, layer, WEIGHTS, scaled)
    if _has_bias(division, layer):
        bias = division.source(int(layer.inputs[BIAS]))
        inputs = [bias, division.source(scale)]
        scaled = division.add_operator(
            BUILTIN.MUL, inputs, (units,), schema.MulOptionsT()
        )
        _replace(division, layer, BIAS, scaled)


def _shift(division: Division, layer: Any, shift: int, units: int) -> None:
    source = division.source(shift)
    if _has_bias(division, layer):
        inputs = [division.source(int(layer.inputs[BIAS])), source]
        source = division.add_operator(
            BUILTIN.ADD, inputs, (units,), schema.AddOptionsT()
        )
    _replace(division, layer, BIAS, source)


def _has_bias(division: Division, layer: Any) -> bool:
    """Tells whether a layer adds anything but constant zeros."""
    if len(layer.inputs) <= BIAS or layer.inputs[BIAS] < 0:
        return False
    index = int(layer.inputs[BIAS])
    if index in division.sources:
        return True
    buffer = division.predicting.tensors[index].buffer
    return bool(bytes(division.model.buffers[buffer].data).strip(b"\0"))


def _replace(division: Division, layer: Any, place: int, source: int) -> None:
    """Gives a layer a new weight that comes from a tensor of `selecting`."""
    tensors = division.predicting.tensors
    shape = division.selecting.tensors[source].shape
    tensors.append(new_tensor(shape, FLOAT))
    division.sources[len(tensors) - 1] = source
    inputs = [int(index) for index in layer.inputs]
    inputs += [-1] * (place + 1 - len(inputs))
    inputs[place] = len(tensors) - 1
    layer.inputs = inputs
