"""Tests of what a network takes: dtypes, sizes of axes and of batches."""

import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from keras import layers

from tests.digits_tasks import TRAIN, digits, make_model, mlp, reloaded
from tsn_keras import lite
from tsn_keras.pruning import MagnitudePruning
from tsn_keras.quantization import AdaptiveCodebook

X, Y = digits(0, TRAIN)
PIXELS = np.uint8(16 * X)


def flat():
    """A backbone that does not say what it takes."""
    return keras.Sequential([layers.Flatten(), layers.Dense(16, "relu")])


@keras.saving.register_keras_serializable(package="tests")
class ScalesPixels(layers.Layer):
    """Computes another way with integers, and declares nothing."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(8, "relu")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        if not keras.backend.is_float_dtype(inputs.dtype):
            inputs = keras.ops.cast(inputs, "float32") / 16
        return self.dense(inputs)


def learned(model, name, x, y):
    model.add_task(name, layers.Dense(10))
    model.fit(x, y, verbose=0)
    model.consolidate((x, y), verbose=0)


class DtypesTest(parameterized.TestCase):
    """A model that began with images of 8 bits meets fractions."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = small_model(flat())
        learned(cls.model, "pixels", PIXELS, Y)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.path = os.path.join(folder.name, "task.tflite")
        lite.export_task(cls.model, cls.path, verification_data=(PIXELS, Y))
        cls.bundle = os.path.join(folder.name, "bundle.tflite")
        lite.export_bundle(cls.model, cls.bundle)

    def test_fractions_are_refused_everywhere(self):
        model, bank = self.model, self.model.bank.to_bytes()
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(40)
        runner = lite.TaskRunner(self.bundle)
        runner.select("pixels")
        other = os.path.join(os.path.dirname(self.path), "other.tflite")
        model.add_task("fractions", layers.Dense(10))
        for x in ((X, Y), (data,), (np.float64(X), Y)):
            self.refuses(lambda x=x: model.fit(*x, verbose=0))
        self.assertFalse(model.running_task.begun)
        self.refuses(
            lambda: model.fit(PIXELS, Y, validation_data=(X, Y), verbose=0)
        )
        model.fit(PIXELS, Y, verbose=0)
        for validation in ((X, Y), data):
            self.refuses(lambda v=validation: model.consolidate(v, verbose=0))
        model.discard_task()
        for call in (
            lambda: model.predict(X, verbose=0),
            lambda: model.predict(X, task="pixels", verbose=0),
            lambda: model.evaluate(X, Y, verbose=0),
            lambda: model(X),
            lambda: lite.export_task(model, other, verification_data=(X, Y)),
            lambda: lite.export_task(model, other, verification_data=data),
            lambda: lite.export_bundle(
                model, other, verification_data={"pixels": X}
            ),
            lambda: lite.verify_file(model, self.path, X, "pixels"),
            lambda: lite.run_file(self.path, X),
            lambda: runner.predict(X),
        ):
            self.refuses(call)
        self.assertEqual(model.bank.to_bytes(), bank)
        self.assertFalse(os.path.exists(other))

    def refuses(self, call):
        message = "float.*inputs are uint8.*dtype='float32'"
        with self.assertRaisesRegex(ValueError, message):
            call()

    def test_casts_that_lose_nothing_change_no_answer(self):
        expected = self.model.predict(PIXELS, verbose=0)
        runner = lite.TaskRunner(self.bundle)
        runner.select("pixels")
        loaded = reloaded(self.model)
        for dtype in ("float32", "int64", "float64"):
            x = PIXELS.astype(dtype)
            for predict in (self.model.predict, loaded.predict):
                found = predict(x, verbose=0)
                np.testing.assert_array_equal(found, expected)
            for found in (lite.run_file(self.path, x), runner.predict(x)):
                np.testing.assert_allclose(found, expected, atol=1e-3)
        self.assertEqual(loaded.switch.inputs.dtype, "uint8")

    def test_the_remedy(self):
        backbone = flat()
        backbone = keras.Sequential(
            [keras.Input((64,), dtype="float32"), *backbone.layers]
        )
        model = small_model(backbone)
        learned(model, "pixels", PIXELS, Y)
        learned(model, "fractions", X, Y)
        path = os.path.join(os.path.dirname(self.path), "float.tflite")
        for task, x in (("pixels", PIXELS), ("fractions", X)):
            report = lite.export_task(
                model, path, task, verification_data=(x, Y)
            )
            self.assertTrue(report.agreement.predictions_equal)

    def test_a_later_batch_is_looked_at(self):
        elements = [(PIXELS[:8], Y[:8])] * 4 + [(X[:8], Y[:8])]
        spec = (
            tf.TensorSpec((8, 64)),
            tf.TensorSpec((8,), tf.int64),
        )
        data = tf.data.Dataset.from_generator(
            lambda: iter(elements), output_signature=spec
        )
        model = small_model(flat())
        learned(model, "pixels", PIXELS, Y)
        model.add_task("fractions", layers.Dense(10))
        self.refuses(lambda: model.fit(data, verbose=0))
        self.assertFalse(model.running_task.begun)

    @parameterized.parameters("uint8", "float32")
    def test_files_compute_what_the_model_does(self, dtype):
        model = small_model(ScalesPixels())
        learned(model, "a", PIXELS.astype(dtype), Y)
        path = f"{self.path}.{dtype}.tflite"
        lite.export_task(model, path, verification_data=PIXELS)
        for x in (PIXELS, np.float32(PIXELS)):
            found = lite.run_file(path, x)
            expected = model.predict(x, verbose=0)
            np.testing.assert_allclose(found, expected, atol=1e-4)


def sequences(length, count=48):
    random = np.random.default_rng(length)
    y = random.integers(0, 2, count)
    x = random.standard_normal((count, length, 3)) + 2 * y[:, None, None]
    return np.float32(x), y


def pooled():
    return keras.Sequential(
        [layers.Conv1D(8, 3, padding="same"), layers.GlobalMaxPooling1D()]
    )


def small_model(backbone, **arguments):
    """Returns a model whose tasks are stored at once."""
    pruning = MagnitudePruning(0.8, frequency=5, tolerance=None)
    codes = AdaptiveCodebook(min_width=4, max_width=4, fine_tune_steps=0)
    return make_model(backbone, pruning, codes, **arguments)


def padded(lengths=(5, 7), size=48):
    def generate():
        for length in lengths:
            x, y = sequences(length)
            for start in range(0, len(y), size):
                rows = slice(start, start + size)
                yield x[rows], y[rows]

    spec = (
        tf.TensorSpec((None, None, 3), tf.float32),
        tf.TensorSpec((None,), tf.int64),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=spec)


class Batches(keras.utils.PyDataset):
    num_batches = 2

    def __getitem__(self, index):
        return sequences(5 + index)


class SizesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "task.tflite")

    def begun(self, backbone, *data, head=2):
        model = small_model(backbone)
        head = layers.Dense(head) if isinstance(head, int) else head
        model.add_task("a", head)
        model.fit(*data, verbose=0)
        return model

    def computes_any(self, model):
        """Exports a file for sequences of any length, and compares it."""
        x, _ = sequences(5)
        lite.export_task(model, self.path, "a", verification_data=x)
        for length in (5, 9):
            x, _ = sequences(length)
            expected = model.predict(x, task="a", verbose=0)
            found = lite.run_file(self.path, x)
            np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_from_a_data_set_to_a_file(self):
        model = self.begun(pooled(), padded())
        self.assertEqual(model.switch.inputs.shape, (None, None, 3))
        model.consolidate(padded(), verbose=0)
        self.computes_any(model)
        loaded = reloaded(model)
        self.assertEqual(loaded.switch.inputs.shape, (None, None, 3))
        self.computes_any(loaded)

    @parameterized.named_parameters(
        ("generator", lambda: iter_of(padded())), ("pydataset", Batches)
    )
    def test_batches_of_several_lengths(self, data):
        model = self.begun(pooled(), data())
        self.assertEqual(model.switch.inputs.shape, (None, None, 3))

    def test_another_length_in_validation(self):
        model = self.begun(layers.SimpleRNN(4), *sequences(5))
        self.assertEqual(model.switch.inputs.shape, (None, 5, 3))
        model.consolidate(sequences(8), verbose=0)
        self.assertEqual(model.switch.inputs.shape, (None, None, 3))
        inputs = reloaded(model).switch.inputs
        self.assertEqual(inputs.shape, (None, None, 3))

    def test_not_yet_widened_when_it_was_saved(self):
        model = self.begun(pooled(), *sequences(5))
        model.consolidate(sequences(5), verbose=0)
        loaded = reloaded(model)
        learned(loaded, "b", *sequences(6))
        self.assertEqual(loaded.switch.inputs.shape, (None, None, 3))

    def test_images_of_a_second_size(self):
        backbone = keras.Sequential(
            [layers.Conv2D(8, 3), layers.GlobalAveragePooling2D()]
        )
        images = np.float32(X.reshape(-1, 8, 8, 1))
        model = small_model(backbone)
        learned(model, "small", images, Y)
        before = model.predict(images, task="small", verbose=0)
        learned(model, "large", np.repeat(images, 2, axis=1), Y)
        self.assertEqual(model.switch.inputs.shape, (None, None, 8, 1))
        after = model.predict(images, task="small", verbose=0)
        np.testing.assert_array_equal(after, before)

    def test_a_backbone_that_takes_one_size_only(self):
        model = self.begun(
            keras.Sequential([layers.Flatten(), layers.Dense(8)]),
            padded((5,)),
        )
        self.assertEqual(model.switch.inputs.shape, (None, 5, 3))
        with self.assertRaisesRegex(ValueError, r"\(None, 5, 3\), received"):
            model.consolidate(sequences(6), verbose=0)
        model.consolidate(sequences(5), verbose=0)

    def test_a_head_that_takes_one_size_only(self):
        head = keras.Sequential([layers.Flatten(), layers.Dense(2)])
        convolution = layers.Conv1D(4, 3, padding="same")
        model = self.begun(convolution, padded((5,)), head=head)
        self.assertEqual(model.switch.inputs.shape, (None, 5, 3))
        model.consolidate(sequences(5), verbose=0)
        model.add_task("b", layers.Dense(2))
        with self.assertRaisesRegex(ValueError, r"\(None, 5, 3\), received"):
            model.fit(sequences(6)[0], sequences(6)[1], verbose=0)

    def test_what_is_declared_stays(self):
        backbone = keras.Sequential([keras.Input((5, 3)), *pooled().layers])
        model = self.begun(backbone, padded((5,)))
        self.assertEqual(model.switch.inputs.shape, (None, 5, 3))
        with self.assertRaisesRegex(ValueError, r"\(None, 5, 3\), received"):
            model.consolidate(sequences(6), verbose=0)


def iter_of(dataset):
    for x, y in dataset:
        yield np.asarray(x), np.asarray(y)


class FixedBatch(layers.Layer):
    """Computes with a constant for each example of a batch."""

    def call(self, inputs):
        return inputs + keras.ops.zeros((8, 1))


def of_eight():
    return keras.Sequential(
        [keras.Input((64,), batch_size=8), FixedBatch(), *mlp().layers]
    )


class BatchSizeTest(parameterized.TestCase):
    def test_from_training_to_a_file(self):
        model = small_model(of_eight(), sharing="activation_similarity")
        self.assertEqual(model.switch.batch_size, 8)
        for name in "ab":
            model.add_task(name, layers.Dense(10))
            model.fit(X, Y, batch_size=8, verbose=0)
            data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
            model.consolidate((X, Y) if name == "a" else data, verbose=0)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "task.tflite")
            with self.assertRaisesRegex(ValueError, "with `batch_size=8`"):
                model.export(path, format="litert", task="a")
            report = lite.export_task(
                model, path, "a", batch_size=8, verification_data=X[:20]
            )
            self.assertTrue(report.agreement.predictions_equal)
            found = lite.verify_file(model, path, X[:20], "a")
            self.assertEqual(found.logits.shape, (20, 10))

    def test_what_fills_no_batch(self):
        model = small_model(of_eight())
        model.add_task("a", layers.Dense(10))
        message = "exactly 8 examples.*`x` has one of {}.*multiple of 8"
        for count, size in ((40, None), (10, 8)):
            wrong = message.format(2 if size else 32)
            with self.assertRaisesRegex(ValueError, wrong):
                model.fit(X[:count], Y[:count], batch_size=size, verbose=0)
        model.fit(X, Y, batch_size=8, verbose=0)
        odd = tf.data.Dataset.from_tensor_slices((X, Y)).batch(40)
        for data, count in (((X[:15], Y[:15]), 7), (odd, 40)):
            with self.assertRaisesRegex(ValueError, f"has one of {count}"):
                model.consolidate(data, verbose=0)
        model.consolidate((X, Y), verbose=0)

    def test_a_size_that_does_not_count(self):
        declared = keras.Sequential(
            [keras.Input((64,), batch_size=8), *mlp().layers]
        )
        called = flat()
        called(X[:3])
        for backbone in (declared, called):
            model = small_model(backbone)
            self.assertIsNone(model.switch.batch_size)
            learned(model, "a", X, Y)
