"""Activations that are computed once while a later kernel is searched."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tsn_keras.batch_loop import BatchLoop
from tsn_keras.layers.subnetwork import Subnetwork
from tsn_keras.network_cut import NetworkCut

# Multiplications of the first part, for all examples, for which it is worth to
# trace two more functions.
WORTHWHILE = 10**10
# What the activations of all examples may take.
MOST_BYTES = 1 << 28


class KnownActivations:
    """Evaluates a network from the activations at a cut on.

    Args:
        backbone: `Subnetwork`.
        cut: `NetworkCut` of the layer in it.
        loop: `BatchLoop` that evaluates the whole model, of its own.
    """

    def __init__(self, backbone: Subnetwork, cut: NetworkCut, loop: BatchLoop):
        self._backbone = backbone
        self._cut = cut
        self._loop = loop
        self._before = tf.function(self._map, autograph=False)

    def serves(self, kernel: keras.Variable, num_examples: int) -> bool:
        """Tells whether it helps to search a kernel.

        Args:
            kernel: `keras.Variable`.
            num_examples: int, that every candidate is validated by.
        """
        is_large = self._cut.work * num_examples >= WORTHWHILE
        fits = 4 * self._cut.size * num_examples <= MOST_BYTES
        variables = self._cut.before.variables
        return is_large and fits and not any(v is kernel for v in variables)

    def compute(self, stacks: Iterable[Any]) -> Iterator[Any]:
        """Computes the activations, with what is installed.

        Args:
            stacks: iterable of stacks of batches (see `stacked`).

        Yields:
            The stacks, with activations in place of inputs.
        """
        with self._backbone.computing(self._cut.before):
            for stack in stacks:
                x, y, weight = keras.utils.unpack_x_y_sample_weight(stack)
                x = self._before(x)
                yield keras.utils.pack_x_y_sample_weight(x, y, weight)

    def _map(self, x: Any) -> tf.Tensor:
        (between,) = self._cut.after.inputs
        return tf.map_fn(
            lambda part: self._backbone(part, training=False),
            x,
            fn_output_signature=tf.TensorSpec(between.shape, between.dtype),
        )

    def __call__(self, stack: Any) -> Any:
        """Evaluates a stack that `compute` gave; see `BatchLoop`."""
        with self._backbone.computing(self._cut.after):
            return self._loop(stack)
