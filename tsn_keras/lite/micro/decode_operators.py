"""Weights of a file that TFLite for Microcontrollers decodes as it runs.

Before each layer an operator `TFLM_DECODE` computes its weights into the
arena, and they are gone when the layer is done. So a network takes the memory
of its largest layer, and not that of all.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tsn_keras.lite.checks import ExportError
from tsn_keras.lite.files.cleanup import drop_unused_tensors
from tsn_keras.lite.files.flatbuffer import CUSTOM, INT8, FlatModel, Graph
from tsn_keras.lite.files.sparse_weights import LAYERS, weights_of
from tsn_keras.lite.micro.unread_inputs import leave_out_unread_inputs
from tsn_keras.lite.micro.weight_forms import (
    FORMS,
    HEADER_BYTES,
    VERSION,
    smallest_form,
)

DECODE = "TFLM_DECODE"
PLAIN = "plain"
BIAS = 2


@dataclasses.dataclass(frozen=True)
class DecodedFile:
    """A file whose weights are decoded as it runs.

    Args:
        forms: dict of int by `bitmap`, `lookup` or `plain`, how many tensors
            of weights have each form.
        largest_layer: int, bytes of the largest tensor that is decoded.
        largest_name: str, the name of it.
    """

    content: bytes
    forms: dict[str, int]
    largest_layer: int
    largest_name: str


def with_decoded_weights(
    content: bytes, forms: Sequence[str] = FORMS
) -> DecodedFile:
    """Stores each layer's weights in the form that takes the fewest bytes.

    Args:
        content: bytes of an int8 file.
        forms: names of the forms to choose from, of `FORMS`. Where none of
            them is smaller, weights are stored as they are.
    """
    model = FlatModel.from_bytes(content)
    counts, sizes = collections.Counter(), {"": 0}
    for graph in model.graphs:
        if set(forms) - {PLAIN}:
            leave_out_unread_inputs(graph)
        drop_unused_tensors(graph)
        for index in weights_of(graph):
            tensor = graph.tensors[index]
            if tensor.type == INT8:
                form = _encode(graph, index, forms)
                counts[form] += 1
                if form != PLAIN:
                    name = (tensor.name or b"").decode()
                    sizes[name] = int(np.prod(tensor.shape))
    largest = max(sizes, key=sizes.get)
    file = packed(model)
    return DecodedFile(file, dict(counts), sizes[largest], largest)


def is_decode(model: FlatModel, operator: Any) -> bool:
    """Tells whether an operator decodes weights."""
    return model.operator_name(operator) == CUSTOM + DECODE


def check_headers(content: bytes) -> None:
    """Refuses a file whose weights are of another version of the format."""
    model = FlatModel.from_bytes(content)
    for graph in model.graphs:
        for operator in graph.operators:
            if not is_decode(model, operator):
                continue
            for index in map(int, operator.inputs[1::2]):
                data = graph.data(index)
                header = b"" if data is None else bytes(data[:HEADER_BYTES])
                if len(header) < HEADER_BYTES or header[1] != VERSION:
                    raise ExportError(
                        f"The weights of the file are in version "
                        f"{header[1] if header[1:] else 'none'} of the format "
                        f"of {DECODE}, and firmware decodes version {VERSION}. "
                        "Export the file again."
                    )


def packed(model: FlatModel) -> bytes:
    """Returns a file without what microcontrollers do not read."""
    for graph in model.graphs:
        for operator in graph.operators:
            if model.code(operator) in LAYERS:
                _drop_scales_of_bias(graph, operator)
        drop_unused_tensors(graph)
        graph.strip_tensors()
    model.keep_metadata(())
    model.drop_buffers(join=True)
    content = model.to_bytes(join=True)
    # What was a list is an array when it is read, and then shared, too.
    return FlatModel.from_bytes(content).to_bytes(join=True)


def _encode(graph: Graph, index: int, forms: Sequence[str]) -> str:
    """Lets an operator decode weights for each that reads them."""
    tensor = graph.tensors[index]
    weights = np.frombuffer(bytes(graph.data(index)), np.int8)
    weights = weights.reshape(tensor.shape)
    form = smallest_form(weights, _axis(tensor), forms)
    if form is None:
        return PLAIN
    encoded = graph.add_bytes(form.encoded)
    ancillary = graph.add_bytes(form.ancillary)
    for reader in list(graph.operators):
        if index in reader.inputs:
            target = graph.add_variant(index, b"_decoded")
            graph.make_computed(target)
            place = list(reader.inputs).index(index)
            graph.replace_input(reader, place, target)
            decode = graph.make_custom(DECODE, [encoded, ancillary], [target])
            graph.replace_operator(reader, [decode, reader])
    return form.name


def _axis(tensor: Any) -> int | None:
    """Returns the axis of the channels, if each has a scale of its own."""
    axis = int(tensor.quantization.quantizedDimension)
    has_channels = len(tensor.quantization.scale) > 1
    # The kernels know no others.
    known = (0, len(tensor.shape) - 1)
    return axis if has_channels and axis in known else None


def _drop_scales_of_bias(graph: Graph, layer: Any) -> None:
    """Removes scales that follow from those of the weights and the input."""
    inputs = list(map(int, layer.inputs))
    if len(inputs) > BIAS and inputs[BIAS] >= 0:
        bias = graph.tensors[inputs[BIAS]]
        # A single one is compared with that of the weights.
        if bias.quantization and len(bias.quantization.scale) > 1:
            graph.strip_quantization(inputs[BIAS])
