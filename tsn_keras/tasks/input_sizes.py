"""Which sizes of inputs a network computes with."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras.data import in_order

# What the other size of an axis is where nothing is known of it.
SOME_SIZE = 8


def resized(inputs: Any, batch_size: int | None) -> Any:
    """Returns inputs, a nest of `KerasTensor`, with another batch size."""
    shapes = [(batch_size, *part.shape[1:]) for part in tree.flatten(inputs)]
    return _with_shapes(inputs, shapes)


def _with_shapes(inputs: Any, shapes: Iterable[tuple]) -> Any:
    parts = [
        keras.KerasTensor(shape, part.dtype, name=part.name)
        for shape, part in zip(shapes, tree.flatten(inputs))
    ]
    return tree.pack_sequence_as(inputs, parts)


def widened(inputs: Any, x: Any) -> tuple[Any, Any] | None:
    """Returns inputs with axes of any size where data differ, and an example.

    Args:
        inputs: Nest of `KerasTensor`.
        x: Nest of arrays or `tf.TensorSpec`. What is unknown in their shapes
            differs, too.

    Returns:
        The inputs, and inputs of other sizes that they stand for. `None` if
        nothing differs, or if axes come or go.
    """
    known = [tuple(part.shape[1:]) for part in tree.flatten(inputs)]
    parts = tree.flatten(in_order(x, inputs))
    found = [tuple(part.shape)[1:] for part in parts]
    if list(map(len, found)) != list(map(len, known)):
        return None
    pairs = [list(zip(*both)) for both in zip(found, known)]
    wide = [tuple(n if n == m else None for n, m in pair) for pair in pairs]
    if wide == known:
        return None
    # Twice the size: networks often halve and double it.
    others = [
        tuple(n or (2 * m if m else SOME_SIZE) for n, m in pair)
        for pair in pairs
    ]
    return tuple(
        _with_shapes(inputs, [(None, *shape) for shape in shapes])
        for shapes in (wide, others)
    )


def traced_shapes(
    backbone: keras.layers.Layer, heads: list[keras.layers.Layer], inputs: Any
) -> list[tuple] | None:
    """Returns the shapes of features, as a step computes them.

    What a layer says of its outputs may be wrong for sizes that it was not
    built for. `None` if backbone or heads cannot compute with the inputs.
    """

    def call(*parts):
        with keras.StatelessScope(collect_losses=True):
            x = tree.pack_sequence_as(inputs, parts)
            features = backbone(x, training=False)
            for head in heads:
                head(features, training=False)
        return tree.flatten(features)

    specs = [tf.TensorSpec(p.shape, p.dtype) for p in tree.flatten(inputs)]
    try:
        function = tf.function(call, autograph=False)
        outputs = function.get_concrete_function(*specs).structured_outputs
    # A user's layers may raise whatever they like.
    except Exception:
        return None
    shapes = [part.shape for part in tree.flatten(outputs)]
    return [() if s.rank is None else tuple(s) for s in shapes]


def only_batch_size(
    backbone: keras.layers.Layer, inputs: Any, size: int
) -> int | None:
    """Returns a declared batch size if a backbone takes no other.

    A Sequential model that was built by a batch declares its size, too.
    """
    backbone(resized(inputs, size))
    other = 2 * size + 1
    shapes = traced_shapes(backbone, [], resized(inputs, other))
    follows = shapes is not None and all(
        shape[:1] in ((), (None,), (other,)) for shape in shapes
    )
    cannot_tell = traced_shapes(backbone, [], resized(inputs, size)) is None
    return None if follows or cannot_tell else size
