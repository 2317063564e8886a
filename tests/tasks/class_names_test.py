"""Names of classes: given once, and there ever after."""

import os
import tempfile

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import TEST, TRAIN, digits, make_model

NAMES = [f"digit {number}" for number in range(10)]


def learn(model, name, head=None, **arguments):
    model.add_task(name, head or keras.layers.Dense(10), **arguments)
    model.fit(*digits(0, TRAIN), epochs=1, verbose=0)
    return model.consolidate(digits(0, TEST), verbose=0)


class ClassNamesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def test_are_stored_with_the_task(self):
        model = make_model(pruning="magnitude")
        report = learn(model, "a", class_names=tuple(NAMES))
        self.assertEqual(report.class_names, NAMES)
        self.assertEqual(report.to_dict()["class_names"], NAMES)
        self.assertIsNone(learn(model, "b").class_names)
        path = os.path.join(self.folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
        for one in (model, loaded):
            self.assertEqual(one.task("a").class_names, NAMES)
            self.assertIsNone(one.task("b").class_names)
        total = loaded.capacity().total_bytes
        self.assertEqual(total, model.capacity().total_bytes)

    def test_count_in_the_capacity(self):
        sizes = []
        for names in (None, NAMES):
            model = make_model(pruning="magnitude", seed=0)
            learn(model, "a", class_names=names)
            sizes.append(model.capacity().total_bytes)
        self.assertGreater(sizes[1], sizes[0])

    def test_of_a_task_in_training_are_saved(self):
        model = make_model(pruning="magnitude")
        model.add_task("a", keras.layers.Dense(10), class_names=NAMES)
        model.fit(*digits(0, TRAIN), verbose=0)
        path = os.path.join(self.folder, "model.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
        report = loaded.consolidate(digits(0, TEST), verbose=0)
        self.assertEqual(report.class_names, NAMES)

    def test_a_refused_task_leaves_nothing(self):
        model = make_model(pruning="magnitude")
        with self.assertRaisesRegex(ValueError, "has 10. Received 2 names"):
            model.add_task("a", keras.layers.Dense(10), class_names=["x", "y"])
        self.assertEqual(model.tasks, ())
        self.assertIsNone(model.running_task)
        learn(model, "a", class_names=NAMES)

    def test_wait_for_data_that_tell_the_width(self):
        backbone = keras.Sequential([keras.layers.Dense(16, "relu")])
        model = tsn_keras.ContinualModel(backbone, pruning="magnitude")
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        model.add_task("a", keras.layers.Dense(10), class_names=["x", "y"])
        with self.assertRaisesRegex(ValueError, "has 10. Received 2 names"):
            model.fit(*digits(0, TRAIN), verbose=0)
        self.assertEqual(model.bank.tasks, ())
        model.discard_task()
        learn(model, "a", class_names=NAMES)

    @parameterized.parameters(
        (keras.layers.Dense(1), ["no", "yes"]),
        (keras.layers.Dense(1), ["price"]),
        (
            keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(3)]),
            "abc",
        ),
    )
    def test_fit_heads_of_any_kind(self, head, names):
        model = make_model(pruning="magnitude")
        model.add_task("a", head, class_names=list(names))
        self.assertEqual(model.running_task.class_names, list(names))

    def test_of_several_outputs(self):
        inputs = keras.Input((32,))
        outputs = [keras.layers.Dense(size)(inputs) for size in (2, 3)]
        head = keras.Model(inputs, outputs)
        backbone = keras.Sequential([keras.Input((8,)), keras.layers.Dense(32)])
        model = tsn_keras.ContinualModel(backbone)
        with self.assertRaisesRegex(ValueError, "has 2 or 3. Received 4"):
            model.add_task("a", head, class_names=list("abcd"))
        model.add_task("a", head, class_names=list("abc"))

    def test_may_be_of_numpy(self):
        model = make_model(pruning="magnitude")
        model.add_task("a", keras.layers.Dense(10), class_names=np.array(NAMES))
        self.assertEqual(model.running_task.class_names, NAMES)
