"""Tests of data sets of TFDS as tasks, made up and prepared in a folder."""

import builtins
import tempfile
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl.testing import parameterized

import tsn_keras
from tsn_keras.scenarios import from_tfds

GREY, COLOUR, VARIED = (4, 4, 1), (6, 5, 3), (None, None, 3)


class ToyDigits(tfds.core.GeneratorBasedBuilder):
    """Images of one level, which is ten times their number."""

    VERSION = tfds.core.Version("1.0.0")
    SHAPE, CLASSES, SPLITS = GREY, ["even", "odd"], {"train": 20, "test": 6}

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=self.SHAPE),
                    "label": tfds.features.ClassLabel(names=self.CLASSES),
                    "text": tfds.features.Text(),
                    "id": np.int32,
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {name: self._examples(n) for name, n in self.SPLITS.items()}

    def _generate_examples(self):
        raise NotImplementedError

    def _examples(self, count):
        shape = [size or 7 for size in self.SHAPE]
        for number in range(count):
            yield (
                number,
                {
                    "image": np.full(shape, 10 * number, "uint8"),
                    "label": number % len(self.CLASSES),
                    "text": f"number {number}",
                    "id": number,
                },
            )


class ToyPhotos(ToyDigits):
    VERSION = tfds.core.Version("1.0.0")
    SHAPE, CLASSES = COLOUR, ["a", "b", "c"]
    SPLITS = {"train": 12, "validation": 6, "test": 9}


class ToyWild(ToyDigits):
    VERSION = tfds.core.Version("1.0.0")
    SHAPE, SPLITS = VARIED, {"train": 20}


class ToyTable(tfds.core.GeneratorBasedBuilder):
    """Two columns and no label."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {"size": np.float32, "age": np.int32}
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(30):
            yield number, {"size": number / 10, "age": number}


def columns(data):
    x, y = zip(*data)
    return np.concatenate(x), np.concatenate(y)


class FromTfdsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        for kind in (ToyDigits, ToyPhotos, ToyWild, ToyTable):
            kind(data_dir=cls.folder).download_and_prepare()

    def read(self, names, **arguments):
        return from_tfds(names, data_dir=self.folder, **arguments)

    def test_images_are_harmonized(self):
        scenario = self.read(["toy_digits", "toy_photos"])
        self.assertIsInstance(scenario, tsn_keras.scenarios.Scenario)
        names = [task.name for task in scenario]
        self.assertEqual(names, ["toy_digits", "toy_photos"])
        self.assertEqual([task.num_classes for task in scenario], [2, 3])
        self.assertEqual(scenario[0].class_names, ["even", "odd"])
        for task in scenario:
            self.assertEqual(task.input_shape, (6, 5, 3))
            for data in (task.train, task.validation, task.test):
                x, y = columns(data)
                self.assertEqual((x.dtype, y.dtype), ("float32", "int64"))
                self.assertEqual(x.shape[1:], (6, 5, 3))
                np.testing.assert_allclose(
                    np.ptp(x.reshape(len(x), -1), axis=1), 0, atol=1e-6
                )
                levels = np.rint(25.5 * x[:, 0, 0, 0])
                np.testing.assert_array_equal(levels % task.num_classes, y)

    def test_splits(self):
        scenario = self.read(
            ["toy_digits", "toy_photos", "toy_wild"],
            image_size=(4, 4),
            validation_split=0.1,
            test_split=0.3,
        )
        sizes = [
            [len(columns(data)[1]) for data in (t.train, t.validation, t.test)]
            for t in scenario
        ]
        self.assertEqual(sizes, [[18, 2, 6], [12, 6, 9], [12, 2, 6]])
        parts = scenario[2].train, scenario[2].validation, scenario[2].test
        levels = [25.5 * columns(data)[0][:, 0, 0, 0] for data in parts]
        self.assertEqual(
            sorted(np.rint(np.concatenate(levels))), list(range(20))
        )
        batches = self.read(["toy_digits"], batch_size=5)[0].train
        self.assertEqual([len(y) for _, y in batches], [5, 5, 5, 3])
        self.assertEqual(batches.cardinality(), 4)

    def test_order_depends_on_the_seed_only(self):
        def orders(seed):
            data = self.read(["toy_digits"], seed=seed)[0].train
            return [columns(data)[0][:, 0, 0, 0].tolist() for _ in range(2)]

        first = orders(0)
        keras.utils.set_random_seed(5)
        self.assertEqual(orders(0), first)
        self.assertNotEqual(first[0], first[1])
        self.assertEqual(sorted(first[0]), sorted(first[1]))
        self.assertNotEqual(orders(1), first)

    def test_one_data_set_as_two_tasks(self):
        scenario = self.read(
            {"parity": "toy_digits", "thirds": "toy_digits:1.0.0"},
            map={
                "thirds": lambda one: (
                    tf.image.resize(one["image"], (4, 4)) / 255,
                    one["id"] % 3,
                )
            },
            num_classes={"thirds": 3},
        )
        self.assertEqual([task.name for task in scenario], ["parity", "thirds"])
        self.assertEqual([task.num_classes for task in scenario], [2, 3])
        self.assertIsNone(scenario[1].class_names)
        self.assertEqual(set(columns(scenario[1].test)[1]), {0, 1, 2})

    def test_text_and_tables(self):
        (task,) = self.read(
            ["toy_digits"], map=lambda one: (one["text"], one["label"])
        )
        self.assertEqual((task.num_classes, task.input_shape), (2, ()))
        self.assertIn(b"number 3", columns(task.test)[0])
        (task,) = self.read(
            ["toy_table"],
            map=lambda one: ([one["size"]], one["age"] > 15),
            num_classes=2,
        )
        x, y = columns(task.train)
        self.assertEqual((x.shape, task.input_shape), ((21, 1), (1,)))
        np.testing.assert_array_equal(y, x[:, 0] > 1.55)

    def test_is_learned(self):
        scenario = self.read(["toy_digits", "toy_photos"])
        backbone = [
            keras.Input((6, 5, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, "relu"),
        ]
        model = tsn_keras.ContinualModel(
            keras.Sequential(backbone), pruning="magnitude"
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        folder = self.enterContext(tempfile.TemporaryDirectory())
        run = tsn_keras.evaluation.ScenarioRun(model, scenario, folder)
        run.learn(keras.layers.Dense(2), epochs=1)
        run = tsn_keras.evaluation.ScenarioRun(
            model, scenario, folder, resume=True
        )
        run.learn(keras.layers.Dense(3), epochs=1)
        self.assertTrue(run.finish({})["bit_exact"])

    def test_missing_data(self):
        with tempfile.TemporaryDirectory() as empty:
            with self.assertRaisesRegex(
                ValueError,
                r"(?s)\['toy_digits', 'toy_wild'\] are not on this machine. "
                r"Pass `download=True`.*builder\('toy_digits', data_dir='"
                f"{empty}'",
            ):
                from_tfds(["toy_digits", "toy_wild"], data_dir=empty)
            (task,) = from_tfds(["toy_digits"], data_dir=empty, download=True)
            self.assertEqual(task.input_shape, (4, 4, 1))

    @parameterized.named_parameters(
        (
            "unknown",
            ["toy_digit"],
            {},
            r"has no 'toy_digit'. Did you mean.*toy",
        ),
        ("version", ["toy_digits:7.0.0"], {}, "7.0.0"),
        ("twice", ["toy_digits"] * 2, {}, r"\['toy_digits'\] twice"),
        ("none", [], {}, "`names` is empty"),
        ("sizes", ["toy_digits", "toy_wild"], {}, r"\['toy_wild'\] differ in"),
        ("features", ["toy_table"], {}, r"\['age', 'size'\]. Pass `map="),
        (
            "no_pair",
            ["toy_table"],
            {"map": lambda one: one["age"]},
            "`map` of task 'toy_table' must return a pair",
        ),
        ("maps", ["toy_digits"], {"map": {"b": len}}, r"unknown tasks \['b'\]"),
        ("split", ["toy_digits"], {"test_split": 0}, "`test_split` must lie"),
    )
    def test_bad_values(self, names, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            self.read(names, **arguments)[0]

    @parameterized.named_parameters(
        ("text", "toy_digits", {}, "`names` must be a list"),
        ("map", ["toy_digits"], {"map": 3}, "`map` must be a function"),
        ("size", ["toy_digits"], {"image_size": 3}, "`image_size` must be a"),
    )
    def test_bad_types(self, names, arguments, message):
        with self.assertRaisesRegex(TypeError, message):
            self.read(names, **arguments)

    def test_without_tfds(self):
        real = builtins.__import__

        def without(name, *args, **kwargs):
            if name.startswith("tensorflow_datasets"):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        with mock.patch.object(builtins, "__import__", without):
            with self.assertRaisesRegex(ImportError, "pip install tensorflow-"):
                from_tfds(["mnist"])
