"""Splits what a bundle computes: once for a task, and for every prediction."""

import dataclasses
from typing import Any

import numpy as np

from tsn_keras.lite.files.flatbuffer import (
    BUILTIN,
    FLOAT,
    Graph,
    called_graphs,
    schema,
)

NO_ACTIVATION = schema.ActivationFunctionType.NONE
# The axis of units in the weights of each operator.
UNIT_AXES = {
    BUILTIN.FULLY_CONNECTED: 0,
    BUILTIN.CONV_2D: 0,
    BUILTIN.DEPTHWISE_CONV_2D: 3,
}
# The inputs of these operators.
WEIGHTS, BIAS = 1, 2


@dataclasses.dataclass
class SplitGraph:
    """A graph that predicts with weights that another graph selects.

    `sources` has, for tensors of `predicting`, the tensor of `selecting` that
    they come from.
    """

    predicting: Graph
    selecting: Graph
    sources: dict[int, int]

    def is_weight(self, index: int) -> bool:
        """Tells whether a tensor of `predicting` is known once selected."""
        return index in self.sources or self.predicting.data(index) is not None

    def source(self, index: int) -> int:
        """Returns the tensor of `selecting` that a weight comes from."""
        if index not in self.sources:
            return self.selecting.add_copy(self.predicting.tensors[index])
        return self.sources[index]

    def reshaped(self, index: int, shape: tuple[int, ...]) -> int:
        """Returns a tensor of `selecting` in another shape."""
        target = self.selecting.add_constant(np.array(shape, np.int32))
        return self.selecting.append(
            BUILTIN.RESHAPE, [index, target], shape, newShape=list(shape)
        )

    def flat(self, index: int) -> int:
        """Returns a tensor of `selecting` with one axis."""
        graph = self.selecting
        shape = graph.tensors[index].shape
        if len(shape) == 1:
            return index
        for operator in graph.operators:
            is_reshape = graph.model.code(operator) == BUILTIN.RESHAPE
            if is_reshape and int(operator.outputs[0]) == index:
                source = int(operator.inputs[0])
                if len(graph.tensors[source].shape) == 1:
                    return source
        return self.reshaped(index, (int(np.prod(shape, dtype=np.int64)),))

    def hoist(self) -> None:
        """Moves operators that need weights only to `selecting`.

        So no prediction transposes a kernel, or computes the scale of a
        normalization.
        """
        moved = []
        for operator in self.predicting.operators:
            if self._can_move(operator):
                self._move(operator)
                moved.append(operator)
        self.predicting.drop_operators(moved)

    def _can_move(self, operator: Any) -> bool:
        inputs = [int(index) for index in operator.inputs if index >= 0]
        tensors = self.predicting.tensors
        return (
            any(index in self.sources for index in inputs)
            and all(map(self.is_weight, inputs))
            and all(tensors[i].type == FLOAT for i in operator.outputs)
            and not called_graphs(operator)
        )

    def _move(self, operator: Any) -> None:
        inputs = [
            self.source(int(i)) if i >= 0 else -1 for i in operator.inputs
        ]
        for index in map(int, operator.outputs):
            tensor = self.predicting.tensors[index]
            self.sources[index] = self.selecting.add_copy(tensor)
        outputs = [self.sources[int(index)] for index in operator.outputs]
        self.selecting.append_copy(operator, inputs, outputs)

    def fuse(self) -> None:
        """Makes scales and shifts behind a layer part of its weights.

        The converter does so with constants only. Batch normalization behind
        a convolution then costs nothing, and a Dense layer is one operator.
        """
        while self._fuse_one():
            pass

    def _fuse_one(self) -> bool:
        graph = self.predicting
        readers: dict[int, list] = {}
        for operator in graph.operators:
            for index in operator.inputs:
                readers.setdefault(int(index), []).append(operator)
        for layer in graph.operators:
            if graph.model.code(layer) not in UNIT_AXES:
                continue
            output = int(layer.outputs[0])
            followers = readers.get(output, [])
            activation = layer.builtinOptions.fusedActivationFunction
            if (
                len(followers) == 1
                and output not in graph.outputs
                and activation == NO_ACTIVATION
                and self._takes_over(layer, followers[0])
            ):
                graph.absorb(layer, followers[0])
                return True
        return False

    def _takes_over(self, layer: Any, follower: Any) -> bool:
        """Changes a layer's weights or bias, if the follower can be fused."""
        model, tensors = self.predicting.model, self.predicting.tensors
        code = model.code(follower)
        if code not in (BUILTIN.MUL, BUILTIN.ADD):
            return False
        output, weights = int(layer.outputs[0]), int(layer.inputs[WEIGHTS])
        others = [int(i) for i in follower.inputs if i != output]
        axis = UNIT_AXES[model.code(layer)]
        units = int(tensors[weights].shape[axis])
        if (
            len(others) != 1
            or not self.is_weight(others[0])
            or not self.is_weight(weights)
            or list(tensors[others[0]].shape) != [units]
        ):
            return False
        if code == BUILTIN.MUL:
            self._scale(layer, others[0], axis, units)
        else:
            self._shift(layer, others[0], units)
        return True

    def _scale(self, layer: Any, scale: int, axis: int, units: int) -> None:
        index = int(layer.inputs[WEIGHTS])
        shape = tuple(self.predicting.tensors[index].shape)
        factor = self.source(scale)
        if axis == 0:
            ones = (1,) * (len(shape) - 1)
            factor = self.reshaped(factor, (units, *ones))
        inputs = [self.source(index), factor]
        scaled = self.selecting.append(BUILTIN.MUL, inputs, shape)
        self._replace(layer, WEIGHTS, scaled)
        if self._has_bias(layer):
            inputs = [self.source(int(layer.inputs[BIAS])), self.source(scale)]
            scaled = self.selecting.append(BUILTIN.MUL, inputs, (units,))
            self._replace(layer, BIAS, scaled)

    def _shift(self, layer: Any, shift: int, units: int) -> None:
        source = self.source(shift)
        if self._has_bias(layer):
            inputs = [self.source(int(layer.inputs[BIAS])), source]
            source = self.selecting.append(BUILTIN.ADD, inputs, (units,))
        self._replace(layer, BIAS, source)

    def _replace(self, layer: Any, place: int, source: int) -> None:
        """Gives a layer a new weight that comes from `source`."""
        shape = self.selecting.tensors[source].shape
        index = self.predicting.add_tensor(shape)
        self.sources[index] = source
        self.predicting.replace_input(layer, place, index)

    def _has_bias(self, layer: Any) -> bool:
        """Tells whether a layer adds anything but constant zeros."""
        if len(layer.inputs) <= BIAS or layer.inputs[BIAS] < 0:
            return False
        index = int(layer.inputs[BIAS])
        if index in self.sources:
            return True
        return bool(bytes(self.predicting.data(index)).strip(b"\0"))
