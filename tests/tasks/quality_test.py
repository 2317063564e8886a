"""Tests that what is known is not validated again, and what is new is."""

from unittest import mock

import numpy as np
from absl.testing import absltest

from tests.digits_tasks import VALIDATION, begin, digits, make_model
from tsn_keras.tasks.quality import Quality, Validation, evaluation_loop


class InstalledQualityTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model()
        begin(cls.model)
        cls.kernels = [m.effective() for m in cls.model.running_task.masks]
        cls.private = cls.model.switch.private_values()

    def setUp(self):
        super().setUp()
        switch = self.model.switch
        switch.install_private(self.private)
        for kernel, value in zip(switch.kernels, self.kernels):
            kernel.install(value)
        validation = Validation(
            self.model, digits(0, VALIDATION), evaluation_loop(self.model)
        )
        self.initial = validation.initial
        self.quality = Quality(switch, validation, self.kernels)
        self.validated = self.enterContext(
            mock.patch.object(validation, "quality", wraps=validation.quality)
        )

    def others(self):
        return [np.roll(kernel, 1) for kernel in self.kernels]

    def test_knows_what_the_network_computed_with(self):
        copies = [kernel.copy() for kernel in self.kernels]
        self.assertEqual(self.quality(copies), self.initial)
        self.validated.assert_not_called()

    def test_validates_other_kernels_once(self):
        found = self.quality(self.others())
        self.assertEqual(self.quality(self.others()), found)
        self.validated.assert_called_once()
        self.assertLess(found, self.initial)
        effective = self.model.switch.kernels[0].effective()
        np.testing.assert_array_equal(effective, self.others()[0])

    def test_minus_zero_is_another_kernel(self):
        zeros = [np.zeros_like(kernel) for kernel in self.kernels]
        self.quality(zeros)
        self.quality([-zero for zero in zeros])
        self.assertEqual(self.validated.call_count, 2)
        self.assertTrue(
            np.signbit(self.model.switch.kernels[0].effective()).all()
        )

    def test_validates_other_private_variables(self):
        self.quality.install_private([v + 1 for v in self.private])
        self.assertNotEqual(self.quality(self.kernels), self.initial)
        np.testing.assert_array_equal(
            self.quality.private_values()[0], self.private[0] + 1
        )
        self.quality.forget()
        self.quality(self.kernels)
        self.assertEqual(self.validated.call_count, 2)

    def test_puts_back(self):
        loss = self.quality.loss
        self.quality.install_private([v + 1 for v in self.private])
        self.quality(self.others())
        self.assertNotEqual(self.quality.loss, loss)
        self.quality.put_back(self.kernels, self.private, self.initial, loss)
        self.assertEqual(self.quality(self.kernels), self.initial)
        self.assertEqual(self.quality.loss, loss)
        self.validated.assert_called_once()
        self.quality.forget()
        self.assertEqual(self.quality(self.kernels), self.initial)


if __name__ == "__main__":
    absltest.main()
