"""Finds sparse weights that LiteRT's converter has stored in part only."""

from typing import Any

from tsn_keras.lite import flatbuffer


def loses_weights(content: bytes) -> bool:
    """Tells whether weights are missing in a file with sparse tensors.

    Where the zeros of a FULLY_CONNECTED layer lie in blocks of inputs, the
    converter stores whole blocks, and drops what is behind the last one.

    Args:
        content: bytes of a file.
    """
    model = flatbuffer.read(content)
    return any(
        _has_part_of_a_block(tensor)
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.sparsity is not None
    )


def _has_part_of_a_block(tensor: Any) -> bool:
    sparsity = tensor.sparsity
    axes = sparsity.blockMap
    if axes is None:
        return False
    # The levels of the blocks come after those of the tensor's own axes.
    blocks = sparsity.dimMetadata[len(tensor.shape) :]
    return any(
        tensor.shape[axis] % block.denseSize
        for axis, block in zip(axes, blocks)
    )
