"""Tests of learning tasks from weights that were trained before."""

import os
import tempfile

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

import tsn_keras
from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    begin,
    consolidate,
    digits,
    learn,
    logits,
    make_model,
    mlp,
)


class PretrainedTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.path = os.path.join(cls.folder.name, "backbone.weights.h5")
        backbone, head = mlp(), layers.Dense(10)
        whole = keras.Sequential([backbone, head])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        whole.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
        whole.fit(*digits(0, TRAIN), epochs=10, verbose=0)
        validation = digits(0, VALIDATION)
        cls.accuracy = whole.evaluate(*validation, verbose=0)[1]
        cls.head = head.get_weights()
        backbone.save_weights(cls.path)

    def backbone(self):
        keras.utils.set_random_seed(1)
        backbone = mlp()
        backbone.load_weights(self.path)
        return backbone

    def given_head(self):
        head = layers.Dense(10)
        head.build((None, 32))
        head.set_weights(self.head)
        return head

    def test_first_task_starts_from_them(self):
        accuracies = []
        for backbone in (self.backbone(), mlp()):
            model = make_model(backbone)
            model.add_task("a", self.given_head())
            history = model.fit(*digits(0, TRAIN), epochs=1, verbose=0).history
            accuracies.append(history["accuracy"][0])
        self.assertGreater(accuracies[0], accuracies[1] + 0.2)

    def test_as_the_first_component_set(self):
        model = make_model(self.backbone(), sharing="always", tolerance=0.002)
        kernel = model.switch.kernels[0].kernel
        pretrained = np.array(kernel)
        model.add_task("pretrained", self.given_head())
        # Nothing is trained: pruned and quantized as they are.
        model.fit(*digits(0, TRAIN), epochs=0)
        np.testing.assert_array_equal(kernel, pretrained)
        report = model.consolidate(digits(0, VALIDATION), verbose=0)
        self.assertGreater(report.quality_after, self.accuracy - 0.1)
        (path,) = report.own
        self.assertAlmostEqual(report.sparsity[path], 0.7, delta=0.01)
        stored = model.bank.effective("pretrained")[0]
        kept = stored != 0
        largest = np.abs(pretrained)[kept].min()
        self.assertGreaterEqual(largest, np.abs(pretrained)[~kept].max())
        before = logits(model, 0, task="pretrained")
        for number in (1, 2):
            report = learn(model, number)
            self.assertGreater(report.shared[path], 0)
        found = logits(model, 0, task="pretrained")
        self.assertEqual(found.tobytes(), before.tobytes())

    def test_as_a_dense_base(self):
        base = self.backbone()
        base.trainable = False
        before = [np.array(weight) for weight in base.weights]
        model = make_model(
            keras.Sequential([base, layers.Dense(16, activation="relu")])
        )
        for number in range(2):
            learn(model, number)
        for weight, value in zip(base.weights, before):
            np.testing.assert_array_equal(weight, value)
        bytes_of_base = sum(value.nbytes for value in before)
        self.assertEqual(model.capacity().bytes["base"], bytes_of_base)

    def test_network_of_keras_applications_with_a_file(self):
        arguments = dict(input_shape=(32, 32, 3), alpha=0.35, include_top=False)
        make = keras.applications.MobileNetV2
        path = os.path.join(self.folder.name, "mobilenet.weights.h5")
        first = make(weights=None, **arguments)
        first.save_weights(path)
        model = tsn_keras.ContinualModel(make(weights=path, **arguments))
        self.assertLen(model.switch.kernels, 52)
        for one, other in zip(first.weights, model.backbone.layer.weights):
            np.testing.assert_array_equal(one, other)


class DenseEndsTest(parameterized.TestCase):
    """The first and the last layer left dense."""

    @parameterized.parameters(
        ("^(?!.*/(stem|top)/).*kernel$", True),
        (None, False),
    )
    def test_by_pattern(self, kernels, dense):
        def make():
            sizes = zip(("stem", "middle", "top"), (24, 24, 16))
            hidden = [layers.Dense(n, "relu", name=name) for name, n in sizes]
            return keras.Sequential([keras.Input((64,)), *hidden], name="net")

        model = make_model(make(), kernels=kernels)
        names = ("middle",) if dense else ("stem", "middle", "top")
        self.assertEqual(
            model.bank.paths, [f"net/{name}/kernel" for name in names]
        )
        begin(model, epochs=3)
        consolidate(model)
        values = dict(
            zip(
                [
                    "/".join(variable.path.split("/")[-2:])
                    for variable in model.switch.private_of_backbone
                ],
                model.bank.private("task 0"),
            )
        )
        for name in ("stem", "top"):
            if dense:
                self.assertGreater((values[f"{name}/kernel"] != 0).mean(), 0.6)
            else:
                self.assertNotIn(f"{name}/kernel", values)
        before = logits(model)
        learn(model, 1)
        self.assertEqual(logits(model).tobytes(), before.tobytes())
