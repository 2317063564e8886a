"""Fine-tuning of centroids while the codes stay as they are."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tsn_keras import tfmot
from tsn_keras.data import BatchLoop, stacked
from tsn_keras.layers.masked_kernel import MaskedKernel
from tsn_keras.quantization.codebook import Codebook

MOST_CENTROIDS = 256


class _ClusteredKernel:
    """A kernel whose own slots read their values from a codebook."""

    def __init__(self, kernel: MaskedKernel):
        self.kernel = kernel
        constraint = kernel.kernel.constraint
        # The one constraint of Keras on single weights. Others are on the
        # whole kernel, which centroids cannot keep.
        is_of_weights = isinstance(constraint, keras.constraints.NonNeg)
        self.centroids = layers.Layer(name="codebook").add_weight(
            shape=(MOST_CENTROIDS,),
            dtype="float32",
            initializer="zeros",
            constraint=constraint if is_of_weights else None,
            name="centroids",
        )
        self._algorithm = tfmot.clustering_algorithm(self.centroids.value)

    def load(
        self, own: np.ndarray, codebook: Codebook
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes over centroids; returns indices of own slots, and codes."""
        centroids = np.zeros(MOST_CENTROIDS, np.float32)
        centroids[: codebook.centroids.size] = codebook.centroids
        self.centroids.assign(centroids)
        slots = np.flatnonzero(own).astype(np.int32)
        codes = codebook.codes.astype(np.int32)
        return tf.constant(slots), tf.constant(codes)

    def effective(self, slots: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        # The algorithm only uses the sign of weights + 1e6. `fixed` is float32
        # in mixed precision, too.
        fixed = tf.convert_to_tensor(self.kernel.fixed.value)
        clustered = self._algorithm.get_clustered_weight(
            codes, tf.zeros(tf.shape(codes), fixed.dtype)
        )
        flat = tf.tensor_scatter_nd_update(
            tf.reshape(fixed, [-1]), slots[:, tf.newaxis], clustered
        )
        return tf.reshape(flat, fixed.shape)

    def read(self, codebook: Codebook) -> Codebook:
        centroids = keras.ops.convert_to_numpy(self.centroids)
        centroids = centroids[: codebook.centroids.size]
        return dataclasses.replace(codebook, centroids=centroids)


class CentroidTuning:
    """Trains codebooks and private variables together, codes fixed.

    The gradient of a centroid is the sum of the gradients of its weights
    (Han et al., "Deep compression", 2016, section 3; TF Model Optimization's
    `ClusteringAlgorithm`). The traced step is kept and serves later tasks.

    Args:
        kernels: all kernels of the network.
        private: the trainable private variables.
        loss: function of a batch, as a dataset gives it; runs the model in
            training mode and returns the scalar loss.
        learning_rate: at the start; falls linearly to 0.
        run_eagerly: whether the loss is computed without a graph.
    """

    def __init__(
        self,
        kernels: list[MaskedKernel],
        private: list[keras.Variable],
        loss: Callable,
        learning_rate: float,
        run_eagerly: bool = False,
    ):
        self._kernels = [_ClusteredKernel(kernel) for kernel in kernels]
        self._centroids = [kernel.centroids for kernel in self._kernels]
        self._variables = [*self._centroids, *private]
        self._loss = loss
        # A plain number would be fixed in the traced step.
        self._steps = keras.Variable(1.0, trainable=False)
        # With the optimizer's count of steps set to 0 the rate starts anew.
        self._optimizer = keras.optimizers.Adam(
            keras.optimizers.schedules.PolynomialDecay(
                learning_rate, self._steps, end_learning_rate=0.0
            )
        )
        self._optimizer.build(self._variables)
        self._loop = BatchLoop(self._replicated_step, run_eagerly=run_eagerly)

    def _replicated_step(self, *arguments):
        # All replicas take the same batch; Keras scales the loss for that.
        strategy = tf.distribute.get_strategy()
        strategy.run(self._train_step, args=arguments)

    def _train_step(self, batch, coded, tunes_centroids):
        with tf.GradientTape() as tape:
            with contextlib.ExitStack() as stack:
                for clustered, slots_and_codes in zip(self._kernels, coded):
                    replaced = clustered.kernel.replaced(
                        functools.partial(clustered.effective, *slots_and_codes)
                    )
                    stack.enter_context(replaced)
                loss = self._loss(batch)
        gradients = tape.gradient(
            loss,
            [variable.value for variable in self._variables],
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        gradients = [tf.convert_to_tensor(g) for g in gradients]
        for index in range(len(self._centroids)):
            gradients[index] *= tunes_centroids
        self._optimizer.apply(gradients, self._variables)

    def run(
        self,
        own: list[np.ndarray],
        codebooks: list[Codebook],
        batches: Iterable,
        steps: int,
        tunes_centroids: bool = True,
    ) -> list[Codebook]:
        """Returns codebooks with new centroids; changes private variables.

        `steps` is the number of batches. Without `tunes_centroids` only the
        private variables change.
        """
        coded = [
            kernel.load(mask, codebook)
            for kernel, mask, codebook in zip(self._kernels, own, codebooks)
        ]
        moves = tf.constant(float(tunes_centroids))
        self._steps.assign(steps)
        for variable in self._optimizer.variables:
            variable.assign(tf.zeros_like(variable.value))
        for stack in stacked(batches):
            self._loop(stack, coded, moves)
        tuned = [k.read(c) for k, c in zip(self._kernels, codebooks)]
        return tuned if tunes_centroids else list(codebooks)
