"""What was saved under one dtype policy, loaded under another."""

import os
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import TRAIN, begin, digits, learn, make_model, mlp

X = digits(0, TRAIN)[0][:20]
SCALED, PLAIN = "mixed_float16", "float32"


class PoliciesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        before = keras.config.dtype_policy()
        self.addCleanup(keras.config.set_dtype_policy, before)

    def made(self, policy, tasks=0):
        keras.config.set_dtype_policy(policy)
        model = make_model(mlp(8), pruning="magnitude")
        for number in range(tasks):
            learn(model, number, epochs=1)
        return model

    @parameterized.parameters(
        ((SCALED, PLAIN), "model.keras"), ((PLAIN, SCALED), "a.weights.h5")
    )
    def test_consolidated_tasks_go_anywhere(self, policies, file):
        model = self.made(policies[0], tasks=1)
        path = os.path.join(self.folder, file)
        (model.save if file.endswith("keras") else model.save_weights)(path)
        other = self.made(policies[1])
        other.add_task("task 0", keras.layers.Dense(10))
        other.discard_task()
        other.load_weights(path)
        self.assertEqual(other.bank.to_bytes(), model.bank.to_bytes())
        found, expected = (
            np.float32(one.predict(X, verbose=0)) for one in (other, model)
        )
        np.testing.assert_allclose(found, expected, rtol=0.1, atol=0.3)

    @parameterized.parameters(
        ((SCALED, "mixed_bfloat16"), "model.keras"),
        ((PLAIN, SCALED), "a.weights.h5"),
    )
    def test_a_task_in_training_needs_its_own(self, policies, file):
        model = self.made(policies[0], tasks=1)
        begin(model, 1, epochs=1)
        path = os.path.join(self.folder, file)
        (model.save if file.endswith("keras") else model.save_weights)(path)
        other = self.made(policies[1], tasks=1)
        before = other.bank.to_bytes()
        with self.assertRaisesRegex(
            ValueError,
            "'task 1' was saved.*scaled loss.*policy 'mixed_float16'",
        ):
            other.load_weights(path)
        self.assertEqual(other.bank.to_bytes(), before)
        self.assertEqual(other.tasks, ("task 0",))
        same = self.made(policies[0], tasks=1)
        same.load_weights(path)
        self.assertEqual(same.tasks, model.tasks)
