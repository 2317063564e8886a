"""Tests of BitExactness."""

import threading

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.threads import at_once
from tsn_keras.evaluation import BitExactness, hash_logits


class TwoTasks(keras.Model):
    def __init__(self):
        super().__init__()
        self.task_layers = {n: keras.layers.Dense(3) for n in "ab"}

    def call(self, x):
        return {n: layer(x) for n, layer in self.task_layers.items()}

    def predict(self, x, task=None, **kwargs):
        return super().predict(x, **kwargs)[task]


class HashLogitsTest(parameterized.TestCase):
    def test_equal_bits_equal_hash(self):
        x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
        same = [x.copy(), np.asfortranarray(x), tf.constant(x)]
        for other in same:
            self.assertEqual(hash_logits(x), hash_logits(other))
        self.assertRegex(hash_logits(x), "^[0-9a-f]{64}$")

    def test_everything_counts(self):
        x = np.zeros((2, 3), "float32")
        bit = x.copy()
        bit[1, 2] = np.nextafter(np.float32(0), np.float32(1))
        others = [
            x,
            -x,
            bit,
            x.T,
            x.reshape(-1),
            x.view("int32"),
            [x],
            {"a": x},
            {"b": x},
            {"a": x, "b": x},
        ]
        self.assertLen({hash_logits(other) for other in others}, len(others))

    def test_the_order_of_a_dict_does_not_count(self):
        a, b = np.zeros(2), np.ones(2)
        self.assertEqual(
            hash_logits({"a": a, "b": b}), hash_logits({"b": b, "a": a})
        )

    def test_no_array(self):
        with self.assertRaisesRegex(ValueError, "numeric arrays"):
            hash_logits([object()])


class BitExactnessTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model = TwoTasks()
        self.x = np.random.default_rng(0).normal(size=(9, 5)).astype("float32")
        self.model(self.x)
        self.checks = BitExactness(batch_size=4)
        for name in "ab":
            self.checks.record(self.model, name, self.x)

    def test_nothing_changed(self):
        self.assertFalse(self.checks.all)
        self.assertEqual(self.checks.verify(self.model), {"a": True, "b": True})
        self.assertTrue(self.checks.all)

    def test_one_bit_of_one_task(self):
        bias = self.model.task_layers["a"].bias
        bias.assign(np.float32([0, 0, 1e-6]))
        self.assertEqual(
            self.checks.verify(self.model), {"a": False, "b": True}
        )
        self.assertFalse(self.checks.all)
        bias.assign(np.zeros(3))
        self.checks.verify(self.model)
        self.assertTrue(self.checks.all)

    def test_the_inputs_are_kept(self):
        self.x += 1
        self.assertTrue(all(self.checks.verify(self.model).values()))

    def test_a_later_record_must_be_verified_too(self):
        checks = BitExactness()
        self.assertFalse(checks.all)
        checks.record(self.model, "a", self.x)
        checks.verify(self.model)
        checks.record(self.model, "b", self.x)
        self.assertFalse(checks.all)

    def test_one_of_two_threads_records_a_task(self):
        both = threading.Barrier(2)

        class Waits(TwoTasks):
            def predict(self, x, task=None, **kwargs):
                both.wait()
                return x

        def record():
            try:
                return self.checks.record(Waits(), "c", self.x)
            except ValueError as error:
                return str(error)

        found = sorted(at_once(record, record))
        self.assertIn("was recorded before", found[1])
        self.assertEqual(found[0], self.checks.hashes["c"])

    def test_a_record_while_others_are_verified(self):
        checks, model = self.checks, self.model

        class Records(TwoTasks):
            def predict(self, x, task=None, **kwargs):
                if task == "a":
                    checks.resume("c", x, checks.hashes["a"])
                return model.predict(x, task=task, **kwargs)

        self.assertEqual(checks.verify(Records()), {"a": True, "b": True})
        self.assertFalse(checks.all)

    def test_hashes(self):
        self.assertEqual(list(self.checks.hashes), ["a", "b"])

    def test_bad_arguments(self):
        with self.assertRaisesRegex(ValueError, "'a' was recorded before"):
            self.checks.record(self.model, "a", self.x)
        with self.assertRaisesRegex(ValueError, "tf.data.Dataset"):
            self.checks.record(
                self.model, "c", tf.data.Dataset.from_tensors(self.x)
            )
        with self.assertRaisesRegex(ValueError, "`batch_size`"):
            BitExactness(batch_size=0)
