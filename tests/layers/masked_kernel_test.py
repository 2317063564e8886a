import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras.layers import MaskedKernel

SHAPE = (4, 3)


def make_kernel(scores=None, threshold=float("-inf"), seed=0):
    rng = np.random.default_rng(seed)
    own = rng.random(SHAPE) < 0.5
    fixed = np.where(own, 0, rng.normal(size=SHAPE)).astype(np.float32)
    learned = {}
    if scores is not None:
        learned["scores"] = keras.Variable(scores)
        learned["threshold"] = keras.Variable(np.float32(threshold))
    return MaskedKernel(
        keras.Variable(rng.normal(size=SHAPE).astype(np.float32)),
        keras.Variable(own, dtype="bool"),
        keras.Variable(fixed, trainable=False),
        **learned,
    )


def gradients(kernel, variables):
    factors = tf.reshape(tf.range(1.0, 13.0), SHAPE)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(factors * kernel.effective())
    return factors, tape.gradient(loss, [v.value for v in variables])


class MaskedKernelTest(parameterized.TestCase):
    def test_installed_values_are_the_kernels_own(self):
        """TensorFlow may share the memory of arrays that lie as it likes."""
        kernel = make_kernel()
        memory = np.zeros(12 + 16, np.float32)
        for first in range(16):
            value = memory[first : first + 12].reshape(SHAPE)
            value[...] = first
            kernel.install(value)
            value[...] = np.nan
            np.testing.assert_array_equal(
                kernel.effective(), np.full(SHAPE, first, np.float32)
            )

    @parameterized.parameters(0, 1, 2)
    def test_effective(self, seed):
        kernel = make_kernel(seed=seed)
        expected = np.where(kernel.own_mask, kernel.kernel, kernel.fixed)
        np.testing.assert_array_equal(kernel.effective(), expected)
        self.assertEqual(kernel.shape, SHAPE)
        self.assertEqual(kernel.size, 12)

    def test_gradient_of_other_slots_is_zero(self):
        kernel = make_kernel()
        factors, (gradient, fixed) = gradients(
            kernel, [kernel.kernel, kernel.own_mask]
        )
        self.assertIsNone(fixed)
        np.testing.assert_array_equal(
            gradient, np.where(kernel.own_mask, factors, 0)
        )

    def test_nan_in_masked_slots_does_not_spread(self):
        kernel = make_kernel()
        own = np.asarray(kernel.own_mask)
        kernel.kernel.assign(np.where(own, kernel.kernel, np.nan))
        self.assertTrue(np.isfinite(kernel.effective()).all())
        _, (gradient,) = gradients(kernel, [kernel.kernel])
        self.assertTrue(np.isfinite(gradient).all())

    def test_install_is_exact(self):
        scores = np.full(SHAPE, -5, np.float32)
        for kernel in (make_kernel(), make_kernel(scores, 1.0)):
            value = np.random.default_rng(3).normal(size=SHAPE)
            value = value.astype(np.float32)
            kernel.install(value)
            effective = np.asarray(kernel.effective())
            self.assertEqual(effective.tobytes(), value.tobytes())

    def test_gate_follows_the_scores(self):
        scores = np.linspace(0, 1, 12, dtype=np.float32).reshape(SHAPE)
        threshold = scores[1, 1]
        kernel = make_kernel(scores, threshold)
        value = np.where(kernel.own_mask, kernel.kernel, kernel.fixed)
        closed = kernel.own_mask & (scores < threshold)
        np.testing.assert_array_equal(
            kernel.effective(), np.where(closed, 0, value)
        )
        kernel.open_gate()
        np.testing.assert_array_equal(kernel.effective(), value)

    def test_gradient_passes_straight_through_to_the_scores(self):
        scores = np.linspace(0, 1, 12, dtype=np.float32).reshape(SHAPE)
        kernel = make_kernel(scores, scores[2, 0])
        value = np.where(kernel.own_mask, kernel.kernel, 0)
        factors, (weights, learned) = gradients(
            kernel, [kernel.kernel, kernel.scores]
        )
        np.testing.assert_allclose(learned, factors * value, rtol=1e-6)
        passes = np.asarray(kernel.own_mask) & (scores >= scores[2, 0])
        np.testing.assert_array_equal(weights, np.where(passes, factors, 0))

    def test_open_gate_without_scores(self):
        kernel = make_kernel()
        before = np.asarray(kernel.effective())
        kernel.open_gate()
        np.testing.assert_array_equal(kernel.effective(), before)
        self.assertLen(kernel.state, 2)
        self.assertLen(make_kernel(before).state, 4)

    def test_replaced_within_the_context_only(self):
        kernel = make_kernel()
        before = np.asarray(kernel.effective())
        with self.assertRaises(KeyError):
            with kernel.replaced(lambda: tf.ones(SHAPE)):
                np.testing.assert_array_equal(kernel.effective(), 1)
                raise KeyError
        np.testing.assert_array_equal(kernel.effective(), before)
