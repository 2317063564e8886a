"""Task files: every precision, and every way to be refused."""

import json
import os
from unittest import mock

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite import task_file


def wide_model(**arguments):
    backbone = small_models.dense_backbone((64, 48), 60)
    return small_models.make_model(backbone, tasks=1, **arguments)


@keras.saving.register_keras_serializable(package="tests")
class MaskedLogits(keras.layers.Layer):
    """Never lets the last of four classes win."""

    def call(self, inputs):
        return inputs + keras.ops.array([0.0, 0.0, 0.0, -1e9])


class EndlessBatches(keras.utils.PyDataset):
    """Batches of 8, without an end, which Keras takes for training."""

    num_batches = None

    def __init__(self, x):
        super().__init__()
        self.x = x

    def __getitem__(self, index):
        return self.x[:8], np.zeros(8)


class TaskFileTest(LiteTestCase):
    @parameterized.parameters(
        ("float32", "none", 1.1, 1e-5),
        ("float16", "none", 0.6, 1e-2),
        ("float32", "auto", 0.22, 1e-5),
        ("float16", "auto", 0.16, 1e-2),
        ("dynamic_int8", "none", 0.4, 0.2),
        ("dynamic_int8", "auto", 0.28, 0.2),
        ("int8", "none", 0.4, 0.2),
        ("int8", "auto", 0.33, 0.2),
        ("int4", "none", 0.27, 0.2),
        ("int4", "auto", 0.27, 0.2),
    )
    def test_precisions(self, precision, compression, size, difference):
        model = wide_model(kept=0.15, kind="linear", width=4)
        x = small_models.random_inputs(model, 40)
        y = model.predict(x, verbose=0).argmax(axis=-1)
        report = model.export(
            self.path,
            format="litert",
            precision=precision,
            compression=compression,
            representative_data=x,
            verification_data=(x, y),
        )
        self.assertEqual(report.compression, compression)
        dense = 4 * (60 * 64 + 64 * 48 + 48 * 4)
        self.assertEqual(report.bytes, self.path.stat().st_size)
        self.assertLess(report.bytes, size * dense + 3500)
        scale = np.abs(model.predict(x, verbose=0)).max()
        agreement = report.agreement
        self.assertLess(agreement.largest_difference, difference * scale)
        self.assertEqual(agreement.accuracy, agreement.agreement)
        self.assertEqual(agreement.model_accuracy, 1.0)
        lite.export_dense(model, self.folder / "dense.tflite")
        found = (self.folder / "dense.tflite").stat().st_size
        self.assertEqual(report.dense_bytes, found)
        self.assertIn(f"{report.bytes / found:.1%}", str(report))

    def test_zeros_stay_where_that_is_smaller(self):
        model = wide_model(kept=0.95)
        sizes = []
        for compression in ("auto", "none"):
            report = lite.export_task(
                model, self.path, compression=compression
            )
            self.assertEqual(report.compression, "none")
            sizes.append(report.bytes)
        self.assertEqual(*sizes)

    def test_zeros_stay_where_a_runtime_cannot_take_it(self):
        model = wide_model()
        # What computes something else.
        other = lite.export_dense(model, self.path).read_bytes()
        with mock.patch.object(
            task_file, "leave_out_zeros", return_value=other
        ):
            report = lite.export_task(model, self.path)
        self.assertEqual(report.compression, "none")
        found = dict(lite.operators(self.path.read_bytes()))
        self.assertNotIn("DENSIFY", found)

    def test_the_file_is_a_plain_network(self):
        model = wide_model()
        model.export(self.path, format="litert", compression="none")
        operators = lite.operators(self.path.read_bytes())
        self.assertEqual([name for name, _ in operators], ["FULLY_CONNECTED"])

    @parameterized.parameters((1,), (3,), (None,))
    def test_batch_sizes(self, batch_size):
        model = wide_model()
        x = small_models.random_inputs(model, 7)
        lite.export_task(model, self.path, batch_size=batch_size)
        interpreter = lite.make_interpreter(self.path.read_bytes())
        shape = interpreter.get_input_details()[0]["shape_signature"]
        self.assertEqual(shape[0], batch_size or -1)
        agreement = lite.verify_file(model, self.path, x, "task 0")
        self.assertTrue(agreement.predictions_equal)
        self.assertEqual(agreement.logits.shape, (7, 4))
        self.assertLess(agreement.largest_difference, 1e-5)

    def test_several_inputs(self):
        left, right = keras.Input((5,), name="left"), keras.Input((3,))
        x = keras.layers.Concatenate()([left, right])
        x = keras.layers.Dense(6, activation="relu")(x)
        model = small_models.make_model(keras.Model([left, right], x), tasks=1)
        random = np.random.default_rng(0)
        x = [np.float32(random.random((4, size))) for size in (5, 3)]
        lite.export_task(model, self.path, verification_data=(x, np.zeros(4)))
        agreement = lite.verify_file(model, self.path, x, "task 0")
        self.assertLess(agreement.largest_difference, 1e-5)

    def test_samples_may_be_a_dataset(self):
        model = wide_model()
        x = small_models.random_inputs(model, 20)
        data = tf.data.Dataset.from_tensor_slices((x, np.zeros(20))).batch(8)
        report = lite.export_task(model, self.path, verification_data=data)
        self.assertEqual(report.samples, "verification_data")
        self.assertLen(report.agreement.logits, 20)

    def test_calibration_on_a_dataset_without_length(self):
        model = wide_model()
        data = EndlessBatches(small_models.random_inputs(model, 8))
        report = lite.export_task(
            model, self.path, precision="int8", representative_data=data
        )
        self.assertEqual(report.samples, "representative_data")
        self.assertLen(report.agreement.logits, 256)

    def test_inputs_by_name(self):
        right, left = (keras.Input((5,), name=n) for n in ("right", "left"))
        both = keras.layers.Concatenate()([right, left])
        hidden = keras.layers.Dense(8, activation="relu")(both)
        backbone = keras.Model([right, left], hidden)
        model = small_models.make_model(backbone, tasks=1)
        random = np.random.default_rng(0)
        x = [random.normal(size, 1, (80, 5)) for size in (0, 3)]
        y = model.predict(x, verbose=0).argmax(-1)
        self.assertGreater(len(set(y)), 1)
        data = {"left": x[1], "right": x[0]}, y
        report = lite.export_task(model, self.path, verification_data=data)
        self.assertEqual(report.agreement.model_accuracy, 1.0)

    @parameterized.parameters("left image", "_left", "if", "größe")
    def test_names_that_inputs_of_files_cannot_have(self, name):
        inputs = {key: keras.Input((5,)) for key in (name, "right-image.2")}
        both = keras.layers.Concatenate()(list(inputs.values()))
        backbone = keras.Model(inputs, keras.layers.Dense(8)(both))
        model = small_models.make_model(backbone, tasks=1)
        for export in (lite.export_task, lite.export_bundle):
            with self.assertRaisesRegex(lite.ExportError, f"key.*'{name}'"):
                export(model, self.path)
        self.assertEmpty(os.listdir(self.folder))

    def test_augmentation_is_left_out(self):
        layers = keras.layers
        stages = [layers.RandomFlip(), layers.RandomRotation(0.2)]
        stages += [layers.Conv2D(6, 3), layers.GlobalAveragePooling2D()]
        backbone = keras.Sequential([keras.Input((8, 8, 3)), *stages])
        model = small_models.make_model(backbone, tasks=2)
        lite.export_task(model, self.path, "task 0")
        lite.export_bundle(model, self.folder / "all.tflite")

    def test_exporting_changes_nothing(self):
        model = small_models.make_model(tasks=2)
        x = small_models.random_inputs(model)
        before = model.predict(x, task="task 0", verbose=0)
        saved = model.bank.to_bytes()
        lite.export_task(model, self.path, "task 1")
        after = model.predict(x, task="task 0", verbose=0)
        np.testing.assert_array_equal(before, after)
        self.assertEqual(model.bank.to_bytes(), saved)

    def test_a_wrong_file_is_not_left_behind(self):
        model = small_models.make_model(tasks=2)
        self.path.write_bytes(b"earlier")

        def of_another_task(model, task):
            return model.bank.effective("task 1") + model.bank.private("task 1")

        with mock.patch.object(task_file, "task_values", of_another_task):
            with self.assertRaisesRegex(lite.ExportError, "differ.*bound"):
                lite.export_task(model, self.path, "task 0")
        self.assertEqual(os.listdir(self.folder), ["task.tflite"])
        self.assertEqual(self.path.read_bytes(), b"earlier")

    def test_a_wrong_file_is_found_beside_a_large_constant(self):
        """A class that a head masks says nothing of the others."""
        model = small_models.make_model(tasks=0)
        for number in range(2):
            masked = keras.Sequential(
                [keras.layers.Dense(4), MaskedLogits(dtype="float32")]
            )
            small_models.add_random_task(model, number, masked)

        def of_another_task(model, task):
            return model.bank.effective("task 1") + model.bank.private("task 1")

        lite.export_task(model, self.path, "task 0")
        with mock.patch.object(task_file, "task_values", of_another_task):
            with self.assertRaisesRegex(lite.ExportError, "differ.*bound"):
                lite.export_task(model, self.path, "task 0")

    @parameterized.parameters(4, 1)
    def test_integer_files_must_agree_often_enough(self, classes):
        model = small_models.make_model(
            small_models.dense_backbone((64, 64), 60), classes=classes
        )
        x = small_models.random_inputs(model, 30)
        with self.assertRaisesRegex(lite.ExportError, "of 30 predictions"):
            lite.export_task(
                model,
                self.path,
                precision="int8",
                # Ranges a thousand times too small.
                representative_data=x / 1000,
                verification_data=x,
                min_agreement=0.99,
            )
        self.assertEmpty(os.listdir(self.folder))

    @parameterized.parameters(
        ({"task": "other"}, "Unknown task 'other'.*task 0"),
        ({"precision": "int7"}, "Unknown precision 'int7'.*float32"),
        ({"precision": "sparse_int8"}, "Unknown.*compression='auto'"),
        ({"compression": "sparse"}, "'sparse'.*auto, none"),
        ({"precision": "int8"}, "needs `representative_data`"),
        ({"representative_data": np.zeros((3, 9))}, r"\(None, 60\).*\(3, 9\)"),
        ({"verification_data": np.zeros((0, 60))}, "no examples"),
        ({"precision": "int4"}, "codebook='linear'"),
        ({"batch_size": 0}, "`batch_size`.*positive.*Received: 0"),
        ({"batch_size": "two"}, "`batch_size`.*Received: 'two'"),
        ({"min_agreement": 90}, "`min_agreement`.*Received: 90"),
    )
    def test_bad_arguments(self, arguments, message):
        model = wide_model()
        with self.assertRaisesRegex(ValueError, message):
            lite.export_task(model, self.path, **arguments)
        self.assertEmpty(os.listdir(self.folder))

    @parameterized.parameters("missing/a.tflite", "a.bin", "folder.tflite")
    def test_bad_paths(self, name):
        (self.folder / "folder.tflite").mkdir()
        with self.assertRaisesRegex(ValueError, name.split("/")[0]):
            lite.export_task(wide_model(), self.folder / name)

    @parameterized.parameters("tf_saved_model", "onnx")
    def test_folders_of_other_formats(self, format):
        with self.assertRaisesRegex(ValueError, "folder '.*missing'"):
            wide_model().export(self.folder / "missing" / "a", format=format)

    @parameterized.parameters(
        (np.zeros((2, 59)), r"\(None, 60\).*\(2, 59\)"),
        (np.zeros((0, 60)), r"at least one row.*\(0, 60\)"),
        ([np.zeros((2, 60)), np.zeros((2, 3))], "inputs_1"),
    )
    def test_inputs_of_a_file(self, x, message):
        lite.export_task(wide_model(), self.path)
        with self.assertRaisesRegex(ValueError, message):
            lite.run_file(self.path, x)

    def test_a_running_task_cannot_be_exported(self):
        model = wide_model()
        model.compile("sgd", "mse")
        model.add_task("new", keras.layers.Dense(4))
        model.fit(np.zeros((8, 60)), np.zeros((8, 4)), verbose=0)
        with self.assertRaisesRegex(ValueError, "'new' is not consolidated"):
            lite.export_task(model, self.path, "new")
        with self.assertRaisesRegex(ValueError, "'new' is not consolidated"):
            lite.export_bundle(model, self.path, ["task 0", "new"])
        lite.export_task(model, self.path, "task 0")

    def test_the_report_as_a_table(self):
        report = lite.export_task(wide_model(), self.path)
        size = self.path.stat().st_size
        header, row = str(report).splitlines()
        columns = "file precision compression bytes of dense equal difference"
        self.assertRegex(header, columns.replace(" ", " +"))
        self.assertRegex(row, rf"^{self.path.name} +float32 +auto +{size:,} +")
        self.assertIn("float32", report._repr_html_())
        entries = json.loads(json.dumps(report.to_dict()))
        self.assertEqual(entries["path"], str(self.path))
        self.assertEqual(entries["bytes"], size)
        self.assertTrue(entries["agreement"]["predictions_equal"])
        self.assertNotIn("logits", entries["agreement"])
        self.assertLen(report.to_csv().splitlines(), 2)
        self.assertEqual(report.to_dataframe()["bytes"][0], size)
        self.assertNotIn("array", repr(report))
