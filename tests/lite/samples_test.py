"""What files are verified with if nothing is given."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.tasks import kept_examples


def learned(x, y, batch_size=None):
    model = tsn_keras.ContinualModel(
        small_models.dense_backbone(), pruning="magnitude"
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    for name in ("a", "b"):
        model.add_task(name, keras.layers.Dense(4))
        model.fit(x, y, verbose=0)
        data = (x, y)
        if batch_size:
            data = tf.data.Dataset.from_tensor_slices(data).batch(batch_size)
        model.consolidate(data, verbose=0)
    return model


def examples(count=100):
    random = np.random.default_rng(0)
    x = np.float32(random.normal(3, 1, (count, 20)))
    return x, np.sort(np.arange(count) % 4)


class DefaultSamplesTest(LiteTestCase):
    @parameterized.parameters(None, 7)
    def test_are_those_that_the_task_was_validated_with(self, batch_size):
        x, y = examples()
        model = learned(x, y, batch_size)
        kept, labels = model.kept_examples.of(model.bank["a"])
        self.assertEqual(kept.shape, (32, 20))
        rows = [np.flatnonzero((x == row).all(axis=1))[0] for row in kept]
        np.testing.assert_array_equal(labels, y[rows])
        # From all over the data, and so of all classes.
        self.assertEqual(set(labels), {0, 1, 2, 3})
        report = lite.export_task(model, self.path)
        self.assertEqual(report.samples, "validation_data")
        self.assertLen(report.agreement.logits, 32)
        self.assertIsNotNone(report.agreement.accuracy)
        bundle = lite.export_bundle(model, self.path)
        same = dict.fromkeys(("a", "b"), "validation_data")
        self.assertEqual(bundle.samples, same)
        given = lite.export_bundle(
            model, self.path, verification_data={"a": (x, y)}
        )
        self.assertEqual(given.samples, {**same, "a": "verification_data"})

    def test_are_noise_once_the_model_was_loaded(self):
        model = learned(*examples())
        file = self.folder / "model.keras"
        model.save(file)
        loaded = keras.models.load_model(file)
        report = lite.export_task(loaded, self.path)
        self.assertEqual(report.samples, "random")
        # A bank of another file has tasks of its own.
        model.load_weights(file)
        report = lite.export_task(model, self.path)
        self.assertEqual(report.samples, "random")

    def test_few_are_all_there_are(self):
        model = learned(*examples(5))
        report = lite.export_task(model, self.path)
        self.assertLessEqual(len(report.agreement.logits), 32)
        self.assertEqual(report.samples, "validation_data")

    def test_are_bounded_in_memory(self):
        kept = kept_examples.KeptExamples()
        model = small_models.make_model(tasks=6)
        part = np.zeros(kept_examples.MOST_BYTES_A_TASK, np.uint8)
        records = [model.bank[name] for name in model.tasks]
        for record in records:
            kept.keep(record, (part, None))
        found = [kept.of(record) is not None for record in records]
        self.assertEqual(found, [False, False, True, True, True, True])
        kept.keep(records[0], (np.append(part, part), None))
        self.assertIsNone(kept.of(records[0]))
        self.assertEqual(kept_examples.rows_to_keep((part, None)), 1)
