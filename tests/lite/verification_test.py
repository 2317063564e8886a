"""A file is compared with the model, and what differs is found."""

import os
import tempfile

import keras
import numpy as np
from absl.testing import absltest, parameterized

from tests.digits_tasks import TEST, begin, digits, learn, make_model, mlp
from tsn_keras.lite import run_file, verification, verify_file


class VerificationTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(mlp(extra=[keras.layers.BatchNormalization()]))
        learn(cls.model, 0)
        learn(cls.model, 1)
        begin(cls.model, 2)

    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.folder, "task.tflite")

    def export(self, task, path=None, format="litert"):
        self.model.export(
            path or self.path, format=format, task=task, verbose=False
        )

    def test_the_file_computes_what_the_task_computes(self):
        x, _ = digits(2, TEST)
        running = self.model.predict(x, verbose=0)
        for number in range(2):
            name = f"task {number}"
            self.export(name)
            x, _ = digits(number, TEST)
            agreement = verify_file(self.model, self.path, x, name)
            self.assertTrue(agreement.predictions_equal)
            self.assertLess(agreement.largest_difference, 1e-4)
            self.assertEqual(agreement.logits.shape, (200, 10))
            np.testing.assert_allclose(
                run_file(self.path, x[:3]), agreement.logits[:3], atol=1e-5
            )
        self.assertEqual(os.listdir(self.folder), ["task.tflite"])
        # The running task is at work again.
        x, _ = digits(2, TEST)
        found = self.model.predict(x, verbose=0)
        np.testing.assert_array_equal(found, running)

    def test_another_task_is_found_out(self):
        self.export("task 0")
        x, _ = digits(0, TEST)
        agreement = verify_file(self.model, self.path, x, "task 1")
        self.assertFalse(agreement.predictions_equal)
        self.assertGreater(agreement.largest_difference, 0.1)

    def test_a_running_task_is_refused(self):
        for task in (None, "task 2"):
            with self.assertRaisesRegex(ValueError, "not consolidated.*conso"):
                self.export(task)
        self.assertEqual(os.listdir(self.folder), [])


class ComparisonTest(parameterized.TestCase):
    @parameterized.parameters(
        (np.array([1, 0]), 0.5),
        (np.array([[1], [0]]), 0.5),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), 0.5),
        (np.array([1, 0, 1]), None),
    )
    def test_forms_of_labels(self, labels, accuracy):
        logits = np.array([[0.0, 1.0], [2.0, 3.0]])
        found = verification.compare(logits, logits, labels)
        self.assertEqual(found.accuracy, accuracy)

    def test_a_single_number_has_no_accuracy(self):
        logits = np.array([[0.5], [-0.5]])
        found = verification.compare(logits, logits, np.array([0, 1]))
        self.assertIsNone(found.accuracy)


if __name__ == "__main__":
    absltest.main()
