"""What a bundle computes once for a task, and what for every prediction."""

import copy
import dataclasses
from typing import Any

import numpy as np

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.flatbuffer import schema
from tsn_keras.lite.subgraphs import calls_subgraphs

BUILTIN = schema.BuiltinOperator
FLOAT, INT = schema.TensorType.FLOAT32, schema.TensorType.INT32


@dataclasses.dataclass
class Division:
    """A subgraph that predicts, one that selects, and what goes between.

    Args:
        model: `schema.ModelT`, which holds both.
        predicting: `schema.SubGraphT`, to which weights are inputs.
        selecting: `schema.SubGraphT` that computes them.
        sources: dict of int, for tensors of `predicting` the tensor of
            `selecting` that they come from.
    """

    model: Any
    predicting: Any
    selecting: Any
    sources: dict[int, int]

    def code(self, operator: Any) -> int:
        """Returns the builtin code of an operator."""
        return flatbuffer.code_of(self.model, operator)

    def is_constant(self, index: int) -> bool:
        """Tells whether a tensor of `predicting` is stored in the file."""
        tensor = self.predicting.tensors[index]
        return self.model.buffers[tensor.buffer].data is not None

    def is_weight(self, index: int) -> bool:
        """Tells whether a tensor of `predicting` is known once selected."""
        return index in self.sources or self.is_constant(index)

    def source(self, index: int) -> int:
        """Returns the tensor of `selecting` that a weight comes from."""
        if index not in self.sources:
            tensor = copy.deepcopy(self.predicting.tensors[index])
            return self.add_tensor(tensor)
        return self.sources[index]

    def add_tensor(self, tensor: Any) -> int:
        """Returns the index of a new tensor of `selecting`."""
        self.selecting.tensors.append(tensor)
        return len(self.selecting.tensors) - 1

    def add_constant(self, array: np.ndarray) -> int:
        """Returns a new float32 or int32 constant of `selecting`."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        kind = INT if array.dtype == np.int32 else FLOAT
        tensor = new_tensor(array.shape, kind)
        tensor.buffer = len(self.model.buffers) - 1
        return self.add_tensor(tensor)

    def add_view(self, buffer: int, count: int) -> int:
        """Returns a new tensor of `selecting` over a buffer, as float32."""
        tensor = new_tensor((count,), FLOAT)
        tensor.buffer = buffer
        return self.add_tensor(tensor)

    def add_operator(
        self,
        code: int,
        inputs: list[int],
        shape: tuple[int, ...],
        options: Any = None,
        version: int = 1,
    ) -> int:
        """Adds an operator to `selecting` and returns its float32 output.

        Args:
            code: int, its builtin code.
            inputs: list of int, tensors of `selecting`.
            shape: tuple of int, of the output.
            options: object of the schema, such as `schema.MulOptionsT`.
            version: int, the lowest that will do.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = flatbuffer.add_operator_code(
            self.model, code, version
        )
        operator.inputs = list(inputs)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        output = self.add_tensor(new_tensor(shape, FLOAT))
        operator.outputs = [output]
        self.selecting.operators.append(operator)
        return output

    def reshaped(self, index: int, shape: tuple[int, ...]) -> int:
        """Returns a tensor of `selecting` in another shape."""
        target = self.add_constant(np.array(shape, np.int32))
        options = schema.ReshapeOptionsT()
        options.newShape = list(shape)
        inputs = [index, target]
        return self.add_operator(BUILTIN.RESHAPE, inputs, shape, options)

    def flat(self, index: int) -> int:
        """Returns a tensor of `selecting` with one axis."""
        shape = self.selecting.tensors[index].shape
        if len(shape) == 1:
            return index
        for operator in self.selecting.operators:
            is_reshape = self.code(operator) == BUILTIN.RESHAPE
            if is_reshape and int(operator.outputs[0]) == index:
                source = int(operator.inputs[0])
                if len(self.selecting.tensors[source].shape) == 1:
                    return source
        return self.reshaped(index, (int(np.prod(shape, dtype=np.int64)),))

    def concatenated(self, indices: list[int], size: int) -> int:
        """Returns flat tensors of `selecting` as one of `size` entries."""
        options = schema.ConcatenationOptionsT()
        return self.add_operator(
            BUILTIN.CONCATENATION, indices, (size,), options
        )

    def hoist(self) -> None:
        """Moves operators that need weights only to `selecting`.

        So no prediction transposes a kernel, or computes the scale of a
        normalization.
        """
        staying = []
        for operator in self.predicting.operators:
            if self._can_move(operator):
                self._move(operator)
            else:
                staying.append(operator)
        self.predicting.operators = staying

    def _can_move(self, operator: Any) -> bool:
        inputs = [int(index) for index in operator.inputs if index >= 0]
        tensors = self.predicting.tensors
        return (
            any(index in self.sources for index in inputs)
            and all(map(self.is_weight, inputs))
            and all(tensors[i].type == FLOAT for i in operator.outputs)
            and not calls_subgraphs(operator)
        )

    def _move(self, operator: Any) -> None:
        operator.inputs = [
            self.source(int(i)) if i >= 0 else -1 for i in operator.inputs
        ]
        for index in map(int, operator.outputs):
            tensor = copy.deepcopy(self.predicting.tensors[index])
            self.sources[index] = self.add_tensor(tensor)
        operator.outputs = [self.sources[int(i)] for i in operator.outputs]
        self.selecting.operators.append(operator)


def new_tensor(shape: tuple[int, ...], kind: int) -> Any:
    """Returns a tensor that an operator computes."""
    tensor = schema.TensorT()
    tensor.shape = np.array(shape, np.int32)
    tensor.type = kind
    tensor.buffer = 0
    tensor.hasRank = True
    return tensor
