import contextlib
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import consolidate, everything, fit, make_model, mlp
from tsn_keras.layers import Subnetwork
from tsn_keras.quantization import (
    CentroidTuning,
    Codebook,
    place_all,
)

BATCHES = 40


class _Task:
    """A small network with own, frozen and masked slots, and its data."""

    def __init__(self, policy="float32", learned_scores=False, width=2):
        rng = np.random.default_rng(0)
        inner = keras.Sequential(
            [
                layers.Dense(6, activation="tanh", dtype=policy),
                layers.Dense(1, dtype=policy),
            ]
        )
        self.network = Subnetwork(inner, learned_scores, dtype=policy)
        self.x = rng.normal(size=(32, 4)).astype(np.float32)
        self.y = self.x[:, :1] - 2 * self.x[:, 1:2] + 1
        self.network(self.x)
        self.kernels = self.network.kernels
        self.private = [v for v in inner.trainable_weights if v.name == "bias"]
        self.own, self.codebooks = [], []
        for kernel in self.kernels:
            part = rng.integers(0, 3, kernel.shape)
            own = part < 2 if kernel.shape[1] == 1 else part == 0
            values = rng.normal(size=kernel.shape).astype(np.float32)
            fixed = np.where((part == 1) & ~own, values, 0)
            kernel.own_mask.assign(own)
            kernel.fixed.assign(fixed)
            self.own.append(own)
            self.codebooks.append(Codebook.fit(values[own], width))

    def loss(self, batch):
        x, y = batch
        outputs = tf.cast(self.network(x, training=True), tf.float32)
        return tf.reduce_mean(tf.square(outputs - y))

    def quantized_loss(self, codebooks):
        fixed = [np.asarray(kernel.fixed) for kernel in self.kernels]
        masks = [np.asarray(kernel.own_mask) for kernel in self.kernels]
        for kernel, value in zip(
            self.kernels, place_all(fixed, self.own, codebooks)
        ):
            kernel.install(value)
        loss = float(self.loss((self.x, self.y)))
        for kernel, value, mask in zip(self.kernels, fixed, masks):
            kernel.fixed.assign(value)
            kernel.own_mask.assign(mask)
        return loss

    def tuning(self, learning_rate):
        return CentroidTuning(
            self.kernels, self.private, self.loss, learning_rate
        )

    def batches(self):
        for _ in range(BATCHES):
            yield self.x, self.y


def weights_beside(task):
    private = {id(variable) for variable in task.private}
    return [
        keras.ops.convert_to_numpy(weight)
        for weight in task.network.weights
        if id(weight) not in private
    ]


class CentroidTuningTest(parameterized.TestCase):
    @parameterized.product(
        policy=("float32", "mixed_bfloat16"), learned_scores=(False, True)
    )
    def test_loss_goes_down_and_codes_stay(self, policy, learned_scores):
        task = _Task(policy, learned_scores)
        tuning = task.tuning(0.02)
        before = task.quantized_loss(task.codebooks)
        beside = weights_beside(task)
        biases = [keras.ops.convert_to_numpy(v) for v in task.private]
        tuned = tuning.run(task.own, task.codebooks, task.batches(), BATCHES)
        self.assertLess(task.quantized_loss(tuned), 0.7 * before)
        for one, other in zip(beside, weights_beside(task)):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(biases, task.private):
            self.assertTrue((one != other.numpy()).any())
        for one, other in zip(task.codebooks, tuned):
            np.testing.assert_array_equal(one.codes, other.codes)
            self.assertEqual(one.width, other.width)
            self.assertEqual(one.centroids.shape, other.centroids.shape)
            self.assertTrue((one.centroids != other.centroids).any())

    def test_linear_codebooks_do_not_move(self):
        task = _Task()
        tuning = task.tuning(0.02)
        before = task.quantized_loss(task.codebooks)
        tuned = tuning.run(
            task.own,
            task.codebooks,
            task.batches(),
            BATCHES,
            tunes_centroids=False,
        )
        for one, other in zip(task.codebooks, tuned):
            np.testing.assert_array_equal(one.centroids, other.centroids)
        self.assertLess(task.quantized_loss(tuned), before)

    def test_rate_falls_to_zero_over_the_steps_of_each_run(self):
        task = _Task()
        tuning = task.tuning(0.02)
        start = [variable.numpy() for variable in task.private]

        def run(batches, steps):
            for variable, value in zip(task.private, start):
                variable.assign(value)
            return tuning.run(task.own, task.codebooks, batches, steps)

        slow = run(task.batches(), BATCHES)
        two = run(list(task.batches())[:2], 2)
        # The other batches come when the rate is 0 already.
        all_batches = run(task.batches(), 2)
        for one, other, third in zip(two, all_batches, slow):
            np.testing.assert_array_equal(one.centroids, other.centroids)
            self.assertTrue((one.centroids != third.centroids).any())

    def test_first_step_is_the_gradient_of_a_cluster(self):
        """Adam's first step has the sign of the summed gradient."""
        task = _Task(width=1)
        fixed = [np.asarray(kernel.fixed) for kernel in task.kernels]
        kernels = place_all(fixed, task.own, task.codebooks)
        values = [tf.constant(kernel) for kernel in kernels]
        with tf.GradientTape() as tape:
            tape.watch(values)
            hidden = tf.tanh(task.x @ values[0])
            loss = tf.reduce_mean(tf.square(hidden @ values[1] - task.y))
        gradients = tape.gradient(loss, values)
        tuning = task.tuning(0.01)
        tuned = tuning.run(task.own, task.codebooks, [(task.x, task.y)], 1)
        for gradient, own, one, other in zip(
            gradients, task.own, task.codebooks, tuned
        ):
            summed = np.zeros(one.centroids.size)
            np.add.at(summed, one.codes, gradient.numpy()[own])
            np.testing.assert_allclose(
                other.centroids - one.centroids,
                -0.01 * np.sign(summed),
                rtol=1e-3,
            )

    def test_runs_do_not_depend_on_those_before(self):
        task = _Task()
        tuning = task.tuning(0.02)
        biases = [keras.ops.convert_to_numpy(v) for v in task.private]
        runs = []
        for _ in range(2):
            for variable, value in zip(task.private, biases):
                variable.assign(value)
            runs.append(
                tuning.run(task.own, task.codebooks, task.batches(), BATCHES)
            )
        for one, other in zip(*runs):
            np.testing.assert_array_equal(one.centroids, other.centroids)

    def test_kernel_without_own_slots(self):
        task = _Task()
        task.own[0] = np.zeros_like(task.own[0])
        task.codebooks[0] = Codebook.fit(np.zeros(0, np.float32), 1)
        tuning = task.tuning(0.02)
        tuned = tuning.run(task.own, task.codebooks, task.batches(), BATCHES)
        self.assertEqual(tuned[0].centroids.size, 0)
        self.assertTrue(
            (tuned[1].centroids != task.codebooks[1].centroids).all()
        )


@contextlib.contextmanager
def rates(noises, rate):
    """Gives layers another rate for a while."""
    with contextlib.ExitStack() as stack:
        for noise in noises:
            stack.enter_context(mock.patch.object(noise, "rate", rate))
        yield


class NoiseTest(parameterized.TestCase):
    def test_fine_tuning_is_without_noise(self):
        found = []
        for rate in (0.0, 0.9):
            keras.utils.set_random_seed(0)
            noises = [layers.Dropout(0.9, seed=seed) for seed in (1, 2)]
            model = make_model(mlp(extra=noises[:1]))
            head = keras.Sequential([noises[1], layers.Dense(10)])
            model.add_task("task 0", head)
            with rates(noises, 0.0):
                fit(model)
            # What is traced from here on would drop most units.
            with rates(noises, rate):
                report = consolidate(model, monitor="loss")
            found.append(everything(model))
            self.assertNotEqual(report.quality_before, report.quality_after)
        self.assertEqual(*found)
