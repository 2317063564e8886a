"""How much memory the tensors of a file need while it runs."""

import numpy as np

from tsn_keras.lite import flatbuffer
from tsn_keras.lite.flatbuffer import schema

BYTES = {
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.INT32: 4,
    schema.TensorType.INT64: 8,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.INT16: 2,
}


def peak_arena(content: bytes) -> int:
    """Returns the bytes of all tensors alive at once, at the worst moment.

    Constants are not counted, and the memory of delegates is not. Dimensions
    of unknown size count as 1. It is what a perfect planner would need.

    Args:
        content: bytes of a file, of which the first subgraph counts.
    """
    model = flatbuffer.read(content)
    graph = model.subgraphs[0]
    last = len(graph.operators)
    born = {int(index): 0 for index in graph.inputs}
    dies = {int(index): last for index in graph.outputs}
    for step, operator in enumerate(graph.operators):
        for index in operator.outputs:
            born.setdefault(int(index), step)
        for index in operator.inputs:
            if index not in graph.outputs:
                dies[int(index)] = step
    alive = np.zeros(last + 1, np.int64)
    for index, step in born.items():
        tensor = graph.tensors[index]
        count = int(np.abs(np.prod(tensor.shape, dtype=np.int64)))
        size = count * BYTES.get(tensor.type, 1)
        alive[step : dies.get(index, step) + 1] += size
    return int(alive.max())
