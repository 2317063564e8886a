"""The operations that put a kernel together."""

import tensorflow as tf


def select_slots(mask, chosen, other):
    """Returns `where(mask, chosen, other)`, to the bit.

    `tf.where` allows for broadcasting, which on a CPU makes it half as fast
    as the operation for equal shapes that is used here.

    Args:
        mask: bool tensor.
        chosen: float tensor of the same shape.
        other: float tensor of the same shape.

    Returns:
        Tensor of the shape and dtype of `other`.
    """
    mask, chosen, other = map(tf.convert_to_tensor, (mask, chosen, other))
    # In mixed precision the trained values come in the compute dtype.
    chosen = tf.cast(chosen, other.dtype)
    return tf.raw_ops.Select(condition=mask, x=chosen, y=other)


@tf.custom_gradient
def scored_slots(mask, values, other, scores):
    """Returns `where(mask, values, other)`, which the scores of slots learn by.

    The gradient of the mask is passed straight through to the scores: they
    get `upstream * values`, and the values `where(mask, upstream, 0)`.

    Args:
        mask: bool tensor.
        values: float tensor of the same shape.
        other: float tensor of the same shape.
        scores: float tensor of the same shape.

    Returns:
        Tensor of the shape and dtype of `other`.
    """

    def gradient(upstream):
        upstream = tf.convert_to_tensor(upstream)
        nothing = tf.zeros_like(upstream)
        learned = tf.raw_ops.Select(condition=mask, x=upstream, y=nothing)
        return None, learned, None, upstream * values

    return select_slots(mask, values, other), gradient
