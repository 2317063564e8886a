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
def gated_slots(scores, threshold, values):
    """Returns `gate * values` with `gate = (scores >= threshold)`.

    The gradient of the gate is passed straight through to the scores: they
    get `upstream * values`, and the values `upstream * gate`.

    Args:
        scores: float tensor.
        threshold: float tensor, scalar.
        values: float tensor of the shape of `scores`.

    Returns:
        float tensor of the shape of `values`.
    """
    gate = tf.cast(scores >= threshold, values.dtype)

    def gradient(upstream):
        upstream = tf.convert_to_tensor(upstream)
        return upstream * values, None, upstream * gate

    return values * gate, gradient

