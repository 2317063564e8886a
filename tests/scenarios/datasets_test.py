"""Tests of tasks from arrays and data sets."""

import tempfile
import types

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tsn_keras
from tsn_keras.scenarios import from_datasets


def arrays(count=30, classes=3, first=0):
    """Returns inputs that tell which example they are, and labels."""
    x = np.arange(first, first + count, dtype="float32")
    return np.stack([x, -x], axis=1), np.arange(count) % classes


def dataset(count=30, classes=3, batch_size=8):
    data = tf.data.Dataset.from_tensor_slices(arrays(count, classes))
    return data.batch(batch_size) if batch_size else data


class Sequence(keras.utils.PyDataset):
    """Two batches."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return arrays(6)


def examples(data):
    if isinstance(data, keras.utils.PyDataset):
        data = [data[index] for index in range(len(data))]
    x, y = zip(*data)
    return np.concatenate(x), np.concatenate(y)


FORMS = {
    "arrays": arrays,
    "tensors": lambda: tuple(map(tf.constant, arrays())),
    "batches": dataset,
    "singles": lambda: dataset(batch_size=None),
    "sequence": Sequence,
}


class FromDatasetsTest(parameterized.TestCase):
    @parameterized.parameters(*FORMS)
    def test_forms(self, form):
        parts = FORMS[form](), FORMS[form](), FORMS[form]()
        scenario = from_datasets({"a": parts}, batch_size=7)
        self.assertIsInstance(scenario, tsn_keras.scenarios.Scenario)
        (task,) = scenario
        self.assertEqual((task.name, task.num_classes), ("a", 3))
        self.assertIsNone(task.class_names)
        if form != "sequence":
            self.assertEqual(task.input_shape, (2,))
        for data in (task.train, task.validation, task.test):
            x, y = examples(data)
            np.testing.assert_array_equal(x[:, 0] % 3, y)
            self.assertEqual(set(y.tolist()), {0, 1, 2})

    def test_arrays_are_shuffled_for_training_only(self):
        (task,) = from_datasets({"a": (arrays(), arrays(), arrays())})
        first, second = examples(task.train)[0], examples(task.train)[0]
        self.assertFalse(np.array_equal(first, second))
        for data in (task.validation, task.test):
            np.testing.assert_array_equal(examples(data)[0], arrays()[0])
            np.testing.assert_array_equal(examples(data)[1], arrays()[1])

    def test_arrays_alone_are_split(self):
        x, y = arrays(100, 2)
        scenario = from_datasets(
            {"a": (x, y)}, validation_split=0.1, test_split=0.3, seed=3
        )
        again = from_datasets({"b": (x, y), "a": (x, y)}, seed=3)
        found = []
        for part, count in (("train", 60), ("validation", 10), ("test", 30)):
            inputs, labels = examples(getattr(scenario[0], part))
            self.assertLen(labels, count)
            self.assertEqual(labels.sum(), count // 2)
            np.testing.assert_array_equal(labels, inputs[:, 0] % 2)
            found += inputs[:, 0].tolist()
        self.assertEqual(sorted(found), x[:, 0].tolist())
        other = examples(again[0].test)[0]
        self.assertFalse(np.array_equal(examples(again[1].test)[0], other))

    def test_nests_and_weights(self):
        x = {"wide": np.ones((12, 2)), "deep": np.ones((12, 3), "int32")}
        y = {"kind": np.arange(12) % 2, "size": np.ones((12, 1))}
        (task,) = from_datasets({"a": (x, y)})
        inputs, labels = next(iter(task.train))
        self.assertEqual(inputs["deep"].shape, (8, 3))
        self.assertEqual(labels["size"].shape, (8, 1))
        self.assertIsNone(task.num_classes)
        self.assertIsNone(task.input_shape)
        weighted = *arrays(), np.ones(30)
        (task,) = from_datasets({"a": (weighted, weighted, weighted)})
        self.assertLen(next(iter(task.test)), 3)

    @parameterized.named_parameters(
        ("one_hot", np.eye(4)[np.arange(20) % 4], 4),
        ("regression", np.linspace(0, 1, 20), None),
        ("column", np.arange(20)[:, None] % 2, 2),
        ("bool", np.arange(20) % 2 == 0, 2),
    )
    def test_number_of_classes(self, y, expected):
        (task,) = from_datasets({"a": (np.zeros((20, 2)), y)})
        self.assertEqual(task.num_classes, expected)

    def test_given_numbers_and_names(self):
        data = arrays()
        parts = data, data, data
        scenario = from_datasets(
            {"a": parts, "b": parts},
            num_classes=3,
            class_names={"b": ("x", "y", "z")},
        )
        self.assertEqual([t.num_classes for t in scenario], [3, 3])
        self.assertEqual(
            [t.class_names for t in scenario], [None, ["x", "y", "z"]]
        )

    def test_training_data_are_not_read_if_classes_are_known(self):
        read = []

        def note(x, y):
            read.append(1)
            return x, y

        def noted(x, y):
            return tf.numpy_function(note, [x, y], (tf.float32, tf.int64))

        parts = dataset().map(noted), dataset(), dataset()
        from_datasets({"a": parts}, num_classes=3)
        self.assertEmpty(read)
        from_datasets({"a": parts})
        self.assertNotEmpty(read)

    def test_endless_training_data(self):
        parts = dataset().repeat(), dataset(), dataset()
        (task,) = from_datasets({"a": parts})
        self.assertEqual(task.num_classes, 3)

    def test_validation_data_stand_in_for_test_data(self):
        with self.assertWarnsRegex(UserWarning, r"\['b'\] have no test data"):
            scenario = from_datasets(
                {"a": arrays(), "b": (dataset(), dataset(15))}
            )
        self.assertLen(examples(scenario[1].test)[1], 15)

    def test_is_learned(self):
        x, y = np.random.default_rng(0).random((2, 60, 4)), np.arange(60)
        scenario = from_datasets({"a": (x[0], y % 2), "b": (x[1], y % 3)})
        backbone = [keras.Input((4,)), keras.layers.Dense(8, "relu")]
        model = tsn_keras.ContinualModel(
            keras.Sequential(backbone), pruning="magnitude"
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        folder = self.enterContext(tempfile.TemporaryDirectory())
        run = tsn_keras.evaluation.ScenarioRun(model, scenario, folder)
        for task in scenario:
            run.learn(keras.layers.Dense(task.num_classes), epochs=1)
        self.assertTrue(run.finish({})["bit_exact"])


class BadDataTest(parameterized.TestCase):
    @parameterized.named_parameters(
        ("nothing", {}, "empty dict"),
        ("part_lacks", (arrays(), arrays(2)), r"validation .*no .*\[2\]"),
        ("test_lacks", (arrays(), arrays(), arrays(2)), r"test .*\[2\]"),
        ("train_lacks", (arrays(9, 2), arrays()), r"train data.*\[2\]"),
        ("one_class", (arrays(9, 1), arrays(9, 1)), "one class only"),
        ("two_of_a_class", arrays(8), "only 2 examples of class 2"),
        ("one", arrays(1), "only 1 examples of class 0"),
        ("offset", (arrays()[0], arrays()[1] + 5), r"no ex.*\[0, 1, 2, 3, 4\]"),
        ("negative", (arrays()[0], arrays()[1] - 1), r"labels \[-1\], outside"),
        ("empty", ((arrays(0)), arrays()), "at least one. Received: 0 and 0"),
        ("empty_set", (dataset(), dataset().take(0)), "validation .*are empty"),
        ("lengths", (arrays()[0], arrays(20)[1]), "Received: 30 and 20"),
        ("endless", (dataset(), dataset().repeat()), "validation .* never end"),
        (
            "dict",
            (dataset().map(lambda x, y: {"x": x, "label": y}), dataset()),
            "train data.*must give pairs.*map",
        ),
    )
    def test_bad_values(self, given, message):
        with self.assertRaisesRegex(ValueError, message):
            from_datasets(given and {"a": given})

    @parameterized.named_parameters(
        ("one_set", dataset(), "split_dataset"),
        ("number", 3, "must be a pair"),
        ("four", (arrays(),) * 4, "must be a pair"),
        ("mixed", (dataset(), np.ones(3)), "must be a pair.*ndarray"),
        ("lists", ([[1, 2], [0, 1]], [[1, 2], [0, 1]]), "Convert lists"),
        ("text", (np.ones((4, 1)), np.array(list("abab"))), "np.unique"),
    )
    def test_bad_types(self, given, message):
        with self.assertRaisesRegex(TypeError, message):
            from_datasets({"a": given})

    def test_no_dict(self):
        for given in ([arrays()], dataset(), None):
            with self.assertRaisesRegex(TypeError, "`tasks` must be a dict"):
                from_datasets(given)

    @parameterized.named_parameters(
        ("few_names", {"class_names": {"a": ["x", "y"]}}, r"labels \[2\]"),
        (
            "many_names",
            {"class_names": {"a": ["x", "y", "z", "w"]}},
            r"no examples of the classes \[3\], of 4",
        ),
        (
            "both",
            {"class_names": {"a": ["x", "y"]}, "num_classes": 3},
            "`class_names` of task 'a' has 2 names for 3 classes",
        ),
        ("twice", {"class_names": {"a": ["x", "x", "y"]}}, "all be different"),
        ("unknown", {"class_names": {"b": ["x"]}}, r"unknown tasks \['b'\]"),
        ("few", {"num_classes": 2}, r"labels \[2\], outside of the 2"),
        ("split", {"test_split": 1.5}, "`test_split` must lie"),
    )
    def test_bad_arguments(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            from_datasets({"a": arrays()}, **arguments)


class TasksOfOnesOwnTest(parameterized.TestCase):
    """What a run says of tasks that it cannot learn."""

    def check(self, task, error, message, output_dir=None):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        backbone = [keras.Input((2,)), keras.layers.Dense(4)]
        model = tsn_keras.ContinualModel(keras.Sequential(backbone))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        with self.assertRaisesRegex(error, message):
            tsn_keras.evaluation.ScenarioRun(
                model, [self.task(), task], output_dir or folder
            )

    def task(self, name="a", **parts):
        data = dict.fromkeys(("train", "validation", "test"), dataset())
        return types.SimpleNamespace(name=name, **{**data, **parts})

    def test_attributes(self):
        task = self.task("b", test=None)
        self.check(
            task, TypeError, "Task 1 of `tasks` has no `test`. A task is"
        )
        self.check(object(), TypeError, "no `name`, `train`, `validation`, `te")
        self.check({"name": "b"}, TypeError, "Task 1 of `tasks` has no `name`")

    def test_arrays(self):
        task = self.task("b", validation=arrays())
        self.check(
            task, TypeError, "`validation` of task 'b' must give batches"
        )

    def test_two_of_one_name(self):
        self.check(self.task(), ValueError, "name every task once.*'a', 'a'")

    def test_a_name_in_another_form_of_unicode(self):
        self.check(self.task("e\u0301"), ValueError, "task 1.*NFC.*u0301")

    def test_other_shape(self):
        task = self.task(
            "b", validation=dataset().map(lambda x, y: (x[:, :1], y))
        )
        self.check(task, ValueError, r"Task 'b': .* expected shape \(None, 2\)")

    def test_output_dir_that_is_a_file(self):
        with tempfile.NamedTemporaryFile() as file:
            self.check(self.task("b"), ValueError, "is a file", file.name)
