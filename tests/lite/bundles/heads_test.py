"""Tasks with heads of every kind in one bundle."""

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite

layers = keras.layers


@keras.saving.register_keras_serializable(package="tests")
class Scaled(layers.Layer):
    """A head of one's own."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, inputs):
        return keras.ops.tanh(inputs * self.scale)


def two_outputs():
    inputs = keras.Input((9,))
    parts = [layers.Dense(2)(inputs), layers.Dense(3)(inputs)]
    return keras.Model(inputs, parts)


def mlp_head():
    hidden = [layers.Dense(40, activation="relu"), layers.BatchNormalization()]
    return keras.Sequential([*hidden, layers.Dense(4)])


def image_backbone():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.BatchNormalization(),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )


HEADS = {
    "classes": lambda: [layers.Dense(size) for size in (2, 3, 5, 5)],
    "kinds": lambda: [
        layers.Dense(3, activation="softmax"),
        layers.Dense(5, activation="sigmoid"),
        layers.Dense(1),
        mlp_head(),
        layers.Dense(3, activation="softmax"),
        layers.Activation("softmax"),
        Scaled(),
    ],
    "outputs": lambda: [two_outputs(), layers.Dense(2), two_outputs()],
    "biases": lambda: [layers.Dense(4), layers.Dense(4, use_bias=False)],
    "none": lambda: [layers.Activation("relu"), layers.Dense(1)],
}


class HeadsTest(LiteTestCase):
    def make(self, heads, backbone=None, **arguments):
        backbone = backbone or small_models.dense_backbone()
        model = tsn_keras.ContinualModel(backbone, sharing=None)
        for number, head in enumerate(heads):
            small_models.add_random_task(model, number, head, **arguments)
        return model

    def assert_runs_as(self, model):
        """Each task puts out what Keras does."""
        x = small_models.random_inputs(model, 5)
        runner = lite.TaskRunner(self.path)
        found = {}
        for name in (*model.tasks, model.tasks[0]):
            runner.select(name)
            found[name] = outputs = runner.predict(x)
            expected = model.predict(x, task=name, verbose=0)
            if not isinstance(expected, list):
                outputs, expected = {"outputs": outputs}, [expected]
            names = [output["name"] for output in runner.outputs]
            self.assertEqual(list(outputs), names)
            for key, value in zip(names, expected):
                np.testing.assert_allclose(outputs[key], value, atol=1e-5)
        return x, found

    @parameterized.product(kind=list(HEADS), shared=(False, True))
    def test_every_kind(self, kind, shared):
        arguments = {"plane": 0, "private_width": 16} if shared else {}
        model = self.make(HEADS[kind](), **arguments)
        lite.export_bundle(model, self.path)
        self.assert_runs_as(model)

    @parameterized.parameters(None, 3)
    def test_images(self, batch_size):
        heads = [layers.Dense(3), mlp_head(), layers.Dense(2)]
        model = self.make(heads, image_backbone())
        lite.export_bundle(model, self.path, batch_size=batch_size)
        x, found = self.assert_runs_as(model)
        for name in model.tasks:
            # As its own file does.
            lite.export_task(model, self.path, name, batch_size=batch_size)
            own = lite.run_file(self.path, x)
            np.testing.assert_allclose(found[name], own, atol=1e-6)

    def test_what_it_says_of_each_task(self):
        model = self.make(HEADS["classes"]())
        names = {"task 1": ["a", "b", "c"]}
        lite.export_bundle(model, self.path, class_names=names)
        runner = lite.TaskRunner(self.path)
        with self.assertRaisesRegex(ValueError, "No task is selected"):
            runner.outputs
        for name, width in zip(model.tasks, (2, 3, 5, 5)):
            runner.select(name)
            self.assertEqual(runner.outputs[0]["shape"], [1, width])
            self.assertEqual(runner.labels, names.get(name))

    def test_files_have_one_length(self):
        """Hosts know it in advance."""
        model = self.make([layers.Dense(2), mlp_head()])
        lite.export_bundle(model, self.path)
        interpreter = lite.make_interpreter(self.path.read_bytes())
        select = interpreter.get_signature_runner("select")
        (length,) = select.get_output_details()["file"]["shape"]
        for number in range(2):
            file = select(task=np.array([number], np.int32))["file"]
            self.assertLen(file, length)

    def test_a_head_adds_little(self):
        """The backbone is stored once, and so is what is computed from it."""
        backbone = small_models.dense_backbone((200, 100), 784)
        arguments = {"kept": 0.05}
        same = self.make([layers.Dense(4)] * 4, backbone, **arguments)
        size = lite.export_bundle(same, self.path).bytes
        backbone = small_models.dense_backbone((200, 100), 784)
        heads = [layers.Dense(units) for units in (2, 3, 4, 5)]
        other = self.make(heads, backbone, **arguments)
        larger = lite.export_bundle(other, self.path).bytes
        self.assertLess(larger - size, 3 * 4000)
        dense = 4 * (784 * 200 + 200 * 100 + 100 * 4)
        self.assertLess(larger, 0.2 * dense)
