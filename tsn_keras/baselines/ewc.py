"""Weights that mattered to earlier tasks are held where they were."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tsn_keras.baselines.baseline import Baseline
from tsn_keras.data import check_integers, check_numbers

PRECISION, ANCHOR = "precision", "anchor"


@keras.saving.register_keras_serializable(package="tsn_keras.baselines")
class EWC(Baseline):
    """Elastic weight consolidation.

    A quadratic penalty holds each weight of the backbone where it was, by the
    diagonal of the Fisher information of earlier tasks:

    `penalty = strength / 2 * sum_t sum_i F[t, i] * (w[i] - w[t, i]) ** 2`

    The sum over the tasks is one quadratic, but for a constant, so two arrays
    for each weight are kept, however many tasks there are. `F` is estimated
    with labels drawn from what the network predicts.

    Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural
    networks", 2017.

    Args:
        strength: How strongly weights are held. `choose_strength` finds one.
        examples: Of how many training examples `F` is the mean.

    The other arguments are those of `Baseline`.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu")]
    ... )
    >>> EWC(backbone, strength=100.0).strength
    100.0
    """

    def __init__(
        self,
        backbone: keras.Model,
        strength: float,
        examples: int = 500,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_numbers(strength=strength)
        check_integers(examples=examples)
        if not 0.0 <= strength < float("inf"):
            raise ValueError(
                "`strength` must be 0 or more, and finite. Received: "
                f"strength={strength}. Try 1, 10, 100 and 1000."
            )
        if examples < 1:
            raise ValueError(
                "`examples` must be at least 1. Received: "
                f"examples={examples}. Pass for example 500."
            )
        super().__init__(backbone, seed, **kwargs)
        self.strength = float(strength)
        self.examples = int(examples)

    def penalty(self) -> Any:
        variables = self.backbone.trainable_variables
        precision, anchor = self.kept.get(PRECISION), self.kept.get(ANCHOR)
        if not precision or not self.strength:
            return 0.0
        return (
            0.5
            * self.strength
            * sum(
                ops.sum(p * ops.square(ops.convert_to_tensor(v) - a))
                for v, p, a in zip(variables, precision, anchor)
            )
        )

    def end_task(self, data: tf.data.Dataset) -> None:
        weights = [
            np.array(ops.convert_to_numpy(v))
            for v in self.backbone.trainable_variables
        ]
        fisher = self._fisher(data)
        before = self.kept.get(PRECISION) or [np.zeros_like(f) for f in fisher]
        anchor = self.kept.get(ANCHOR) or weights
        total = [b + f for b, f in zip(before, fisher)]
        # The mean of both places, weighed by what holds them there.
        self.kept[ANCHOR] = [
            np.where(t > 0, (b * a + f * w) / np.where(t > 0, t, 1), w)
            for t, b, a, f, w in zip(total, before, anchor, fisher, weights)
        ]
        self.kept[PRECISION] = total

    def _fisher(self, data: tf.data.Dataset) -> list[np.ndarray]:
        """Returns the mean squared gradient of each weight, by example."""
        variables = self.backbone.trainable_variables
        head = self.heads[-1]
        sums = [tf.Variable(tf.zeros(v.shape)) for v in variables]
        seed = 0 if self.seed is None else self.seed

        @tf.function(reduce_retracing=True)
        def add(x, number):
            with tf.GradientTape() as tape:
                logits = head(self.backbone(x[None], training=False))
                logits = tf.cast(logits, tf.float32)
                label = tf.random.stateless_categorical(
                    logits, 1, [seed, number]
                )
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    tf.reshape(label, [1]), logits
                )
            gradients = tape.gradient(loss, [v.value for v in variables])
            for total, gradient in zip(sums, gradients):
                total.assign_add(tf.square(tf.cast(gradient, tf.float32)))

        count = 0
        for number, (x, _) in enumerate(data.unbatch().take(self.examples)):
            add(x, tf.constant(number))
            count += 1
        return [total.numpy() / max(1, count) for total in sums]

    def get_config(self) -> dict[str, Any]:
        own = {"strength": self.strength, "examples": self.examples}
        return {**super().get_config(), **own}
