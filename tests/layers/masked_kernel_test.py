import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.threads import at_once
from tsn_keras.layers import MaskedKernel

SHAPE = (4, 3)


def make_kernel(scores=None, seed=0):
    rng = np.random.default_rng(seed)
    own = rng.random(SHAPE) < 0.5
    fixed = np.where(own, 0, rng.normal(size=SHAPE)).astype(np.float32)
    if scores is not None:
        scores = keras.Variable(scores)
    return MaskedKernel(
        keras.Variable(rng.normal(size=SHAPE).astype(np.float32)),
        keras.Variable(own, dtype="bool"),
        keras.Variable(fixed, trainable=False),
        scores,
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
        for kernel in (make_kernel(), make_kernel(scores)):
            value = np.random.default_rng(3).normal(size=SHAPE)
            value = value.astype(np.float32)
            kernel.install(value)
            effective = np.asarray(kernel.effective())
            self.assertEqual(effective.tobytes(), value.tobytes())

    def test_gradient_passes_straight_through_to_the_scores(self):
        """Those of slots outside the mask learn, too, and may come back."""
        scores = np.linspace(0, 1, 12, dtype=np.float32).reshape(SHAPE)
        kernel = make_kernel(scores)
        np.testing.assert_array_equal(
            kernel.effective(), make_kernel().effective()
        )
        factors, (weights, learned) = gradients(
            kernel, [kernel.kernel, kernel.scores]
        )
        np.testing.assert_allclose(learned, factors * kernel.kernel, rtol=1e-6)
        own = np.asarray(kernel.own_mask)
        np.testing.assert_array_equal(weights, np.where(own, factors, 0))

    def test_scores_that_do_not_learn(self):
        kernel = make_kernel(np.zeros(SHAPE, np.float32))
        with kernel.fixed_scores():
            _, (weights, learned) = gradients(
                kernel, [kernel.kernel, kernel.scores]
            )
        self.assertIsNone(learned)
        self.assertIsNotNone(weights)
        self.assertTrue(kernel.learns_scores)
        without = make_kernel()
        with without.fixed_scores():
            self.assertFalse(without.learns_scores)
        self.assertFalse(without.learns_scores)

    def test_replaced_within_the_context_only(self):
        kernel = make_kernel()
        before = np.asarray(kernel.effective())
        with self.assertRaises(KeyError):
            with kernel.replaced(lambda: tf.ones(SHAPE)):
                np.testing.assert_array_equal(kernel.effective(), 1)
                raise KeyError
        np.testing.assert_array_equal(kernel.effective(), before)

    def test_another_thread_computes_as_before(self):
        kernel = make_kernel()
        before = np.asarray(kernel.effective())
        with kernel.replaced(lambda: tf.ones(SHAPE)):
            (found,) = at_once(kernel.effective)
        np.testing.assert_array_equal(found, before)
