"""A .tflite file in memory, and all that is changed in it.

Others read the objects of TensorFlow Lite's schema as they are, and change
them by the methods of `FlatModel` and `Graph` only. TensorFlow Lite's converter
is run here too, since its settings are attributes as well.
"""

import contextlib
import copy
import dataclasses
import gc
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

from tsn_keras.lite.runner import IDENTIFIER, check_content

BUILTIN = schema.BuiltinOperator
FLOAT, INT = schema.TensorType.FLOAT32, schema.TensorType.INT32
INT8, BYTES = schema.TensorType.INT8, schema.TensorType.UINT8
BOOL = schema.TensorType.BOOL
# The numbers that weights are stored in and that DENSIFY takes.
NUMBERS = {
    FLOAT: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    INT8: np.int8,
}
# What the schema calls lists of places in sparse tensors, by their numbers.
PLACES = {"uint8": "Uint8Vector", "uint16": "Uint16Vector"}
PLACES["int32"] = "Int32Vector"
OPERATOR_NAMES = {
    code: name
    for name, code in vars(BUILTIN).items()
    if not name.startswith("_")
}
# What the schema calls the options of the operators that are made here.
OPTIONS = {
    BUILTIN.ADD: "AddOptions",
    BUILTIN.BITCAST: "BitcastOptions",
    BUILTIN.CONCATENATION: "ConcatenationOptions",
    BUILTIN.CONV_2D: "Conv2DOptions",
    BUILTIN.DENSIFY: "DensifyOptions",
    BUILTIN.GATHER: "GatherOptions",
    BUILTIN.IF: "IfOptions",
    BUILTIN.LESS: "LessOptions",
    BUILTIN.MUL: "MulOptions",
    BUILTIN.PADV2: "PadV2Options",
    BUILTIN.RESHAPE: "ReshapeOptions",
    BUILTIN.SLICE: "SliceOptions",
}
# Options of operators that say which other graphs they run.
REFERENCES = (
    ("condSubgraphIndex", "bodySubgraphIndex")
    + ("thenSubgraphIndex", "elseSubgraphIndex")
    + ("initSubgraphIndex", "subgraph")
)
SCHEMA_VERSION = 3
# Codes above it are stored in a newer field only.
OLD_LIMIT = 127
ALIGNMENT = 16
# What names of custom operators begin with.
CUSTOM = "CUSTOM:"
# The place of `data` in the table of a buffer.
DATA_FIELD = 4


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Pauses the collection of cycles.

    A file is read into hundreds of thousands of objects, all in use. The
    collector would go through all of them again and again, for nothing.

    >>> with collection_paused():
    ...     gc.isenabled()
    False
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@collection_paused()
def run_converter(
    saved_model: str, signatures: list[str], settings: dict[str, Any]
) -> bytes:
    """Converts a SavedModel, with attributes of the converter set."""
    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=signatures
    )
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


class _AlignedBuilder(flatbuffers.Builder):
    """Aligns weights to 16 bytes, for vector instructions.

    The schema asks for that, and Python's builder does not do it.

    Args:
        join: Whether equal arrays are written once. Scales, zero points and
            shapes of many layers are.
    """

    def __init__(self, size: int, join: bool = False):
        super().__init__(size)
        self._known = {} if join else None

    def StartVector(self, elemSize, numElems, alignment):
        is_data = elemSize == 1 and numElems >= ALIGNMENT
        alignment = ALIGNMENT if is_data else alignment
        return super().StartVector(elemSize, numElems, alignment)

    def CreateNumpyVector(self, x):
        if self._known is None:
            return super().CreateNumpyVector(x)
        key = (x.dtype.str, x.tobytes())
        if key not in self._known:
            self._known[key] = super().CreateNumpyVector(x)
        return self._known[key]


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[None]:
    """Explains errors of reading bytes that are cut off."""
    try:
        yield
    except (struct.error, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            "The .tflite file is truncated or damaged: its "
            f"{len(content)} bytes cannot be read ({error})."
        ) from error


class FlatModel:
    """The contents of a .tflite file; `graphs` are its subgraphs."""

    def __init__(self, model: Any):
        self._model = model
        self.graphs = [Graph(self, part) for part in model.subgraphs]

    @classmethod
    @collection_paused()
    def from_bytes(cls, content: bytes) -> "FlatModel":
        check_content(content)
        with _readable(content):
            found = flatbuffer_utils.convert_bytearray_to_object(
                bytearray(content)
            )
        return cls(found)

    @classmethod
    def empty(cls) -> "FlatModel":
        """Returns a file of no graphs."""
        model = schema.ModelT()
        model.version = SCHEMA_VERSION
        model.operatorCodes, model.subgraphs = [], []
        # The first buffer stands for what is computed.
        model.buffers = [schema.BufferT()]
        model.signatureDefs, model.metadata = [], []
        return cls(model)

    @collection_paused()
    def to_bytes(self, join: bool = False) -> bytes:
        """Returns the file's bytes; with `join`, equal arrays are shared."""
        builder = _AlignedBuilder(1024, join)
        builder.Finish(self._model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def code(self, operator: Any) -> int:
        """Returns the builtin code of an operator."""
        return _builtin(self._model.operatorCodes[operator.opcodeIndex])

    def operator_name(self, operator: Any) -> str:
        """Returns the name of an operator, as `operators` does."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return _operator_name(_builtin(code), code.customCode)

    def buffer(self, number: int) -> Any:
        """Returns a buffer, whose `data` are `None` if it is no constant's."""
        return self._model.buffers[number]

    def entry_graphs(self) -> list[int]:
        """Returns the numbers of the graphs that signatures run."""
        return [int(s.subgraphIndex) for s in self._model.signatureDefs]

    @property
    def signatures(self) -> list[str]:
        """The names of all signatures."""
        return [s.signatureKey.decode() for s in self._model.signatureDefs]

    def graph(self, signature: str) -> "Graph":
        return self.graphs[self._signature(signature).subgraphIndex]

    def inputs(self, signature: str) -> dict[str, int]:
        """Returns the tensors that a signature takes, by name."""
        return _tensors(self._signature(signature).inputs)

    def outputs(self, signature: str) -> dict[str, int]:
        """Returns the tensors that a signature gives, by name."""
        return _tensors(self._signature(signature).outputs)

    def metadata(self, name: str) -> bytes | None:
        for entry in self._model.metadata or []:
            if entry.name.decode() == name:
                return bytes(self.buffer(entry.buffer).data)
        return None

    def add_buffer(self, data: Any) -> int:
        """Returns the number of a new buffer that holds bytes or an array."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(bytes(data), np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def add_metadata(self, name: str, data: bytes) -> None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, self.add_buffer(data)
        self._model.metadata = [*(self._model.metadata or []), entry]

    def add_code(self, code: int, version: int = 1) -> int:
        """Returns the index of a kind of operator, adding it if it is new.

        The kind gets the highest of all versions that are asked for.
        """
        codes = self._model.operatorCodes
        for index, known in enumerate(codes):
            if _builtin(known) == code:
                known.version = max(known.version, version)
                return index
        codes.append(_operator_code(code, version))
        return len(codes) - 1

    def add_custom_code(self, name: str, version: int = 1) -> int:
        """Returns the index of a custom operator, adding it if it is new."""
        codes = self._model.operatorCodes
        for index, known in enumerate(codes):
            if known.customCode == name.encode():
                return index
        code = _operator_code(BUILTIN.CUSTOM, version)
        code.customCode = name.encode()
        codes.append(code)
        return len(codes) - 1

    def add_graph(self) -> "Graph":
        """Returns a new graph that has nothing yet."""
        part = schema.SubGraphT()
        part.inputs, part.outputs = [], []
        part.tensors, part.operators = [], []
        self._model.subgraphs.append(part)
        self.graphs.append(Graph(self, part))
        return self.graphs[-1]

    def add_graph_of(self, other: "FlatModel") -> "Graph":
        """Returns a copy of the only graph of another file."""
        (source,) = other.graphs
        numbers = {0: 0}
        graph = self.add_graph()
        graph.copy_from(source)
        for tensor in graph.tensors:
            data = other.buffer(tensor.buffer).data
            if data is None:
                tensor.buffer = 0
                continue
            if tensor.buffer not in numbers:
                numbers[tensor.buffer] = self.add_buffer(data)
            tensor.buffer = numbers[tensor.buffer]
        for operator, old in zip(graph.operators, source.operators):
            operator.opcodeIndex = self._add_code_of(other, old)
        return graph

    def _add_code_of(self, other: "FlatModel", operator: Any) -> int:
        name = other.operator_name(operator).partition(CUSTOM)[2]
        version = other.version(operator)
        if name:
            return self.add_custom_code(name, version)
        return self.add_code(other.code(operator), version)

    def version(self, operator: Any) -> int:
        return self._model.operatorCodes[operator.opcodeIndex].version

    def add_signature(
        self, graph: int, name: str, inputs: list[str], outputs: list[str]
    ) -> None:
        """Adds a signature that runs a graph, given by its number.

        Names are in the order of the graph's inputs and outputs.
        """
        signature = schema.SignatureDefT()
        signature.signatureKey = name.encode()
        signature.subgraphIndex = graph
        places = self.graphs[graph]
        signature.inputs = _named(inputs, places.inputs)
        signature.outputs = _named(outputs, places.outputs)
        self._model.signatureDefs.append(signature)

    def replace_outputs(self, signature: str, outputs: dict[str, int]) -> None:
        """Lets a signature and its graph give other tensors, by name."""
        entries = _named(list(outputs), list(outputs.values()))
        self._signature(signature).outputs = entries
        self.graph(signature).subgraph.outputs = list(outputs.values())

    def drop_signature(self, signature: str) -> None:
        self._model.signatureDefs.remove(self._signature(signature))

    def keep_metadata(self, names: Sequence[str]) -> None:
        """Drops all metadata but those of some names."""
        metadata = self._model.metadata
        self._model.metadata = [m for m in metadata if m.name.decode() in names]

    def keep_graphs(self, kept: list[int]) -> None:
        """Drops other graphs, and kinds of operators that only they have."""
        operators = [o for i in kept for o in self.graphs[i].operators]
        for signature in self._model.signatureDefs:
            signature.subgraphIndex = kept.index(signature.subgraphIndex)
        for operator in operators:
            options = operator.builtinOptions
            for name in _references(operator):
                setattr(options, name, kept.index(getattr(options, name)))
        used = sorted({operator.opcodeIndex for operator in operators})
        for operator in operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)
        codes = self._model.operatorCodes
        self._model.operatorCodes = [codes[index] for index in used]
        self._model.subgraphs = [self._model.subgraphs[i] for i in kept]
        self.graphs = [self.graphs[index] for index in kept]

    def drop_buffers(self, join: bool) -> dict[int, int]:
        """Drops the buffers that nothing refers to; returns the new numbers.

        With `join`, the first of several equal buffers stays.
        """
        tensors = [tensor for graph in self.graphs for tensor in graph.tensors]
        buffers = self._model.buffers
        numbers, known, kept = {0: 0}, {}, buffers[:1]
        for holder in tensors + (self._model.metadata or []):
            old = holder.buffer
            if old not in numbers:
                buffer = buffers[old]
                # Buffers without data stand for what is computed.
                numbers[old] = 0
                if buffer.data is not None:
                    key = bytes(buffer.data) if join else old
                    numbers[old] = known.setdefault(key, len(kept))
                if numbers[old] == len(kept):
                    kept.append(buffer)
            holder.buffer = numbers[old]
        self._model.buffers = kept
        return numbers

    def signatures_of(self, graph: "Graph") -> list:
        """Returns the signatures that run a graph."""
        signatures = self._model.signatureDefs
        return [s for s in signatures if self.graphs[s.subgraphIndex] is graph]

    def extracted(self, signature: str, name: str) -> "FlatModel":
        """Returns a copy with one signature only, renamed, and no metadata.

        Buffers keep their numbers, and large data are not copied.
        """
        model = copy.copy(self._model)
        model.subgraphs = copy.deepcopy(model.subgraphs)
        model.operatorCodes = copy.deepcopy(model.operatorCodes)
        model.buffers = list(map(copy.copy, model.buffers))
        model.metadata, model.metadataBuffer = None, None
        only = copy.deepcopy(self._signature(signature))
        only.signatureKey = name.encode()
        model.signatureDefs = [only]
        return FlatModel(model)

    def _signature(self, name: str) -> Any:
        found = {s.signatureKey.decode(): s for s in self._model.signatureDefs}
        return found[name]


@dataclasses.dataclass(eq=False)
class Graph:
    """One subgraph of a `FlatModel`."""

    model: FlatModel
    subgraph: Any

    @property
    def tensors(self) -> list:
        return self.subgraph.tensors

    @property
    def operators(self) -> list:
        return self.subgraph.operators

    @property
    def inputs(self) -> list[int]:
        return list(map(int, self.subgraph.inputs))

    @property
    def outputs(self) -> list[int]:
        return list(map(int, self.subgraph.outputs))

    def scale(self, index: int) -> tuple[float, int] | None:
        """Returns the scale and zero point of a tensor that has one each."""
        found = self.tensors[index].quantization
        if found is None or found.scale is None or len(found.scale) != 1:
            return None
        return float(found.scale[0]), int(found.zeroPoint[0])

    def data(self, index: int) -> np.ndarray | None:
        """Returns a constant's bytes; `None` for a tensor that is computed."""
        return self.model.buffer(self.tensors[index].buffer).data

    # Each method that adds a tensor returns its index.

    def add_tensor(
        self, shape: Sequence[int], kind: int = FLOAT, buffer: int = 0
    ) -> int:
        """Adds a tensor of a shape over a buffer; 0 for what is computed.

        A size of -1 is known only when the tensor is computed.
        """
        tensor = schema.TensorT()
        tensor.shape = np.abs(shape).astype(np.int32)
        if min(shape, default=0) < 0:
            tensor.shapeSignature = np.array(shape, np.int32)
        tensor.type = kind
        tensor.buffer = buffer
        tensor.hasRank = True
        return self.add_copy(tensor)

    def add_constant(self, array: np.ndarray) -> int:
        """Adds a float32 or int32 constant."""
        kind = INT if array.dtype == np.int32 else FLOAT
        buffer = self.model.add_buffer(array.tobytes())
        index = self.add_tensor(array.shape, kind, buffer)
        # As the converter has it.
        self.tensors[index].hasRank = False
        return index

    def add_bytes(self, data: bytes) -> int:
        """Adds a constant of bytes that stand for something else."""
        return self.add_tensor([len(data)], BYTES, self.model.add_buffer(data))

    def copy_from(self, other: "Graph") -> None:
        """Takes all that another graph has; numbers stay those of its file."""
        for name, value in vars(copy.deepcopy(other.subgraph)).items():
            setattr(self.subgraph, name, value)

    def set_places(self, inputs: list[int], outputs: list[int]) -> None:
        """Says which tensors the graph takes and gives."""
        self.subgraph.inputs, self.subgraph.outputs = inputs, outputs

    def add_copy(self, tensor: Any) -> int:
        """Adds a copy of a tensor, of this graph or another."""
        self.tensors.append(copy.deepcopy(tensor))
        return len(self.tensors) - 1

    def add_variant(
        self, index: int, ending: bytes, inner: Sequence[int] | None = None
    ) -> int:
        """Adds a copy of a tensor with an ending at its name.

        With `inner`, all axes behind the batch are others.
        """
        found = self.add_copy(self.tensors[index])
        tensor = self.tensors[found]
        tensor.name = (tensor.name or b"") + ending
        if inner is not None:
            tensor.shape = np.array([tensor.shape[0], *inner], np.int32)
            if tensor.shapeSignature is not None:
                batch = tensor.shapeSignature[0]
                tensor.shapeSignature = np.array([batch, *inner], np.int32)
        return found

    def add_unit_axes(self, index: int) -> None:
        """Gives a matrix `(a, b)` the shape `(a, 1, 1, b)`."""
        tensor = self.tensors[index]
        rows, columns = map(int, tensor.shape)
        tensor.shape = np.array([rows, 1, 1, columns], np.int32)
        tensor.shapeSignature = None
        if tensor.sparsity is None:
            return
        unit = schema.DimensionMetadataT()
        unit.format, unit.denseSize = schema.DimensionType.DENSE, 1
        first, last = tensor.sparsity.dimMetadata
        tensor.sparsity.dimMetadata = [first, unit, unit, last]
        tensor.sparsity.traversalOrder = np.arange(4, dtype=np.int32)

    def quantize_again(
        self, index: int, kind: int, data: np.ndarray, scale: float
    ) -> None:
        """Stores a constant in integers of another type, with one scale."""
        tensor = self.tensors[index]
        self.model.buffer(tensor.buffer).data = data
        tensor.type = kind
        count = len(tensor.quantization.scale)
        tensor.quantization.scale = np.full(count, scale, np.float32)

    def store_sparse(
        self,
        index: int,
        values: np.ndarray,
        ends: np.ndarray,
        places: np.ndarray,
    ) -> None:
        """Stores a constant as its values that are not zero.

        Args:
            values: array, of all rows of the last axis, one after another.
            ends: array, the number of values in all rows before each, and at
                the end of all.
            places: array, where in its row each value is.
        """
        tensor = self.tensors[index]
        tensor.buffer = self.model.add_buffer(values.tobytes())
        axes = [schema.DimensionMetadataT() for _ in tensor.shape]
        for axis, size in zip(axes, tensor.shape):
            axis.format, axis.denseSize = schema.DimensionType.DENSE, int(size)
        last = axes[-1]
        last.format, last.denseSize = schema.DimensionType.SPARSE_CSR, 0
        last.arraySegments, last.arraySegmentsType = _sparse_list(ends)
        last.arrayIndices, last.arrayIndicesType = _sparse_list(places)
        tensor.sparsity = schema.SparsityParametersT()
        tensor.sparsity.dimMetadata = axes
        tensor.sparsity.traversalOrder = np.arange(len(axes), dtype=np.int32)

    def restore_from(self, index: int, source: int) -> None:
        """Lets DENSIFY compute a constant from a sparse one, first of all."""
        self.tensors[index].buffer = 0
        densify = self.make_operator(BUILTIN.DENSIFY, [source], [index])
        self.operators.insert(0, densify)

    def strip_tensors(self) -> None:
        """Removes names, and quantization that says nothing."""
        for tensor in self.tensors:
            tensor.name = None
            if tensor.quantization and tensor.quantization.scale is None:
                tensor.quantization = None

    def strip_quantization(self, index: int) -> None:
        """Removes the scales and zero points of a tensor."""
        self.tensors[index].quantization = None

    def set_data(self, index: int, data: bytes) -> None:
        """Gives a constant bytes of its own."""
        self.tensors[index].buffer = self.model.add_buffer(data)

    def make_scalar(self, index: int, data: bytes) -> None:
        """Makes a tensor a constant of one number."""
        self.set_data(index, data)
        tensor = self.tensors[index]
        tensor.shape, tensor.shapeSignature = np.zeros(0, np.int32), None

    def make_computed(self, index: int) -> None:
        """Makes a constant a tensor that an operator is to compute."""
        self.tensors[index].buffer = 0

    def make_constant(self, index: int, buffer: int) -> None:
        """Makes a constant of an input."""
        self.tensors[index].buffer = buffer
        self.subgraph.inputs = [i for i in self.inputs if i != index]
        for signature in self.model.signatures_of(self):
            signature.inputs = [
                e for e in signature.inputs if int(e.tensorIndex) != index
            ]

    def keep_tensors(self, kept: list[int]) -> None:
        """Drops all tensors but some, which keep their order."""
        numbers = {old: new for new, old in enumerate(kept)}
        self.subgraph.tensors = [self.tensors[index] for index in kept]
        self.subgraph.inputs = [numbers[index] for index in self.inputs]
        self.subgraph.outputs = [numbers[index] for index in self.outputs]
        # An operator without one of its inputs has -1 there.
        places = {**numbers, -1: -1}
        for operator in self.operators:
            for name in ("inputs", "outputs", "intermediates"):
                indices = getattr(operator, name)
                if indices is not None:
                    found = [places[int(index)] for index in indices]
                    setattr(operator, name, found)
        for signature in self.model.signatures_of(self):
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = numbers[int(entry.tensorIndex)]

    def make_operator(
        self,
        code: int,
        inputs: list[int],
        outputs: list[int],
        version: int = 1,
        **options: Any,
    ) -> Any:
        """Returns a new operator, which has no place in the graph yet.

        Its code is one of `OPTIONS`, its version the lowest that will do.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self.model.add_code(code, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        name = OPTIONS[code]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        operator.builtinOptions = getattr(schema, f"{name}T")()
        for option, value in options.items():
            setattr(operator.builtinOptions, option, value)
        return operator

    def make_custom(
        self,
        name: str,
        inputs: list[int],
        outputs: list[int],
        version: int = 1,
    ) -> Any:
        """Returns a new custom operator, which has no place yet."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.model.add_custom_code(name, version)
        operator.inputs, operator.outputs = inputs, outputs
        return operator

    def append(
        self,
        code: int,
        inputs: list[int],
        shape: Sequence[int],
        kind: int = FLOAT,
        **options: Any,
    ) -> int:
        """Adds an operator at the end and returns its new output."""
        output = self.add_tensor(shape, kind)
        operator = self.make_operator(code, inputs, [output], **options)
        self.operators.append(operator)
        return output

    def add_operator(self, operator: Any) -> None:
        """Adds an operator at the end."""
        self.operators.append(operator)

    def append_copy(
        self, operator: Any, inputs: list[int], outputs: list[int]
    ) -> None:
        """Adds an operator of any graph at the end, with other tensors."""
        operator = copy.copy(operator)
        operator.inputs, operator.outputs = inputs, outputs
        self.operators.append(operator)

    def replace_operator(self, old: Any, new: list) -> None:
        """Puts operators in the place of one."""
        place = self.operators.index(old)
        self.operators[place : place + 1] = new

    def drop_operators(self, dropped: list) -> None:
        drop = set(dropped)
        self.subgraph.operators = [o for o in self.operators if o not in drop]

    def join_equal_operators(self) -> None:
        """Computes once what several operators compute alike."""
        same = self._equal_constants()
        known: dict[tuple, Any] = {}
        dropped = []
        for operator in self.operators:
            inputs = [same.get(int(i), int(i)) for i in operator.inputs]
            operator.inputs = inputs
            outputs = [self.tensors[int(index)] for index in operator.outputs]
            options = operator.builtinOptions
            key = (
                *(operator.opcodeIndex, *inputs, type(options)),
                repr(options and vars(options)),
                repr([(part.type, list(part.shape)) for part in outputs]),
            )
            first = known.setdefault(key, operator)
            if first is not operator and not called_graphs(operator):
                same |= zip(map(int, operator.outputs), map(int, first.outputs))
                dropped.append(operator)
        self.drop_operators(dropped)
        self.subgraph.outputs = [same.get(i, i) for i in self.outputs]

    def _equal_constants(self) -> dict[int, int]:
        """Returns, for each constant, the first one that is equal."""
        first: dict[tuple, int] = {}
        same = {}
        for index, tensor in enumerate(self.tensors):
            data = self.data(index)
            if data is not None:
                key = (tensor.type, tuple(tensor.shape), bytes(data))
                same[index] = first.setdefault(key, index)
        return same

    def read_instead(self, old: int, new: int) -> None:
        """Lets all operators that read a tensor read another."""
        for operator in self.operators:
            operator.inputs = [new if i == old else i for i in operator.inputs]

    def replace_input(self, operator: Any, place: int, index: int) -> None:
        """Gives an operator another input, or one that it did not have."""
        inputs = list(map(int, operator.inputs))
        inputs += [-1] * (place + 1 - len(inputs))
        inputs[place] = index
        operator.inputs = inputs

    def absorb(self, operator: Any, follower: Any) -> None:
        """Lets an operator do what the one behind it does at the end."""
        operator.outputs = follower.outputs
        operator.builtinOptions.fusedActivationFunction = (
            follower.builtinOptions.fusedActivationFunction
        )
        self.drop_operators([follower])


def _sparse_list(numbers: np.ndarray) -> tuple[Any, int]:
    """Returns a list of a sparse tensor, and what the schema calls its type."""
    name = PLACES[str(numbers.dtype)]
    found = getattr(schema, f"{name}T")()
    found.values = numbers
    return found, getattr(schema.SparseIndexVector, name)


def _operator_code(code: int, version: int) -> Any:
    found = schema.OperatorCodeT()
    found.builtinCode = code
    found.deprecatedBuiltinCode = min(code, OLD_LIMIT)
    found.version = version
    return found


def _builtin(operator_code: Any) -> int:
    return max(operator_code.builtinCode, operator_code.deprecatedBuiltinCode)


def _tensors(entries: list) -> dict[str, int]:
    return {entry.name.decode(): int(entry.tensorIndex) for entry in entries}


def _named(names: list[str], indices: list[int]) -> list:
    """Returns what a signature says of its inputs or outputs."""
    entries = []
    for name, index in zip(names, indices):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        entries.append(entry)
    return entries


def _operator_name(code: int, custom: bytes | None) -> str:
    name = OPERATOR_NAMES[code]
    return name if name != "CUSTOM" else f"{CUSTOM}{custom.decode()}"


def _references(operator: Any) -> list[str]:
    return [r for r in REFERENCES if hasattr(operator.builtinOptions, r)]


def called_graphs(operator: Any) -> list[int]:
    """Returns the numbers of the graphs that an operator runs."""
    return [getattr(operator.builtinOptions, r) for r in _references(operator)]


def operators(content: bytes) -> list[tuple[str, int]]:
    """Returns the operators that a file needs, with their versions.

    Returns:
        sorted list of `(name, version)`; custom operators begin with
        `CUSTOM:`.
    """
    check_content(content)
    found = set()
    with _readable(content):
        model = schema.Model.GetRootAs(content, 0)
        for index in range(model.OperatorCodesLength()):
            code = model.OperatorCodes(index)
            number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            name = _operator_name(number, code.CustomCode())
            found.add((name, code.Version()))
    return sorted(found)


def layer_names(model: FlatModel, operator_name: str) -> str:
    """Returns the layers that need an operator, as far as names tell.

    Args:
        operator_name: As `operators` has it.
    """
    found = set()
    for graph in model.graphs:
        for operator in graph.operators:
            if model.operator_name(operator) == operator_name:
                name = graph.tensors[int(operator.outputs[0])].name or b""
                found.add(name.decode().partition(";")[0])
    return "in " + ", ".join(f"'{name or 'no name'}'" for name in sorted(found))


def buffer_places(content: bytes) -> dict[int, tuple[int, int]]:
    """Returns first byte and size of all buffers with data, by number."""
    model = schema.Model.GetRootAs(content, 0)
    places = {}
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        field = buffer._tab.Offset(DATA_FIELD)
        if field:
            start = buffer._tab.Vector(field)
            places[index] = (start, buffer.DataLength())
    return places
