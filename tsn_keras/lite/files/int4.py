"""Stores evenly spaced weights in four bits each."""

from typing import Any

import numpy as np

from tsn_keras.lite.files.flatbuffer import (
    BUILTIN,
    INT8,
    FlatModel,
    Graph,
    schema,
)

LARGEST = 7
# How far int8 codes of evenly spaced weights can be from even spacing.
ROUNDING = 0.04
READERS = (BUILTIN.FULLY_CONNECTED, BUILTIN.CONV_2D)


def to_int4(content: bytes) -> bytes:
    """Packs the int8 weights that have at most 15 even steps into nibbles.

    That is exact: a linear codebook of up to four bits has the values
    `scale * q` with `q` from -7 to 7. Other weights stay int8, and a file
    without any such weights is refused.
    """
    model = FlatModel.from_bytes(content)
    packed = 0
    for graph in model.graphs:
        for index in _weights(graph):
            codes = _even_codes(graph.tensors[index], graph.data(index))
            if codes is not None:
                levels, scale = codes
                kind = schema.TensorType.INT4
                graph.quantize_again(index, kind, _nibbles(levels), scale)
                packed += 1
    if not packed:
        raise ValueError(
            "Precision 'int4' needs weights from a linear codebook of at most "
            "4 bits, and this task has none. Train it with quantization="
            "AdaptiveCodebook(codebook='linear', max_width=4), or export it as "
            "'dynamic_int8'."
        )
    return model.to_bytes()


def _weights(graph: Graph) -> set[int]:
    """Returns the int8 constants that readers of int4 use as weights."""
    found, others = set(), set()
    for operator in graph.operators:
        reads = graph.model.code(operator) in READERS
        for place, index in enumerate(operator.inputs):
            (found if reads and place == 1 else others).add(int(index))
    return {
        index
        for index in found - others
        if graph.tensors[index].type == INT8 and graph.data(index) is not None
    }


def _even_codes(tensor: Any, data: Any) -> tuple[np.ndarray, np.float32] | None:
    """Returns the steps and the scale of evenly spaced weights."""
    codes = np.frombuffer(bytes(data), np.int8).reshape(tensor.shape)
    axis = tensor.quantization.quantizedDimension
    shape = [1] * codes.ndim
    scales = np.asarray(tensor.quantization.scale, np.float32)
    if scales.size > 1:
        shape[axis] = scales.size
    values = codes * scales.reshape(shape)
    largest = np.abs(values).max()
    for top in range(1, LARGEST + 1):
        scale = np.float32(largest / top)
        levels = np.rint(values / scale)
        if scale and np.abs(values / scale - levels).max() < ROUNDING:
            return levels.astype(np.int8), scale
    return None


def _nibbles(levels: np.ndarray) -> np.ndarray:
    """Packs two steps a byte, the first in the low half."""
    flat = levels.reshape(-1).astype(np.uint8) & 15
    flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    return flat[0::2] | (flat[1::2] << 4)
