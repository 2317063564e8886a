"""Files for TFLite for Microcontrollers."""

import re

import keras
import numpy as np
from absl.testing import parameterized
from keras import layers

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite


def convolutions():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )


class MicrocontrollerTest(LiteTestCase):
    @parameterized.parameters(small_models.dense_backbone, convolutions)
    def test_int8_files_use_operators_of_reference_kernels(self, backbone):
        model = small_models.make_model(backbone(), tasks=1)
        x = small_models.random_inputs(model, 40)
        lite.export_task(
            model,
            self.path,
            precision="int8",
            compression="none",
            representative_data=x,
        )
        found = lite.check_microcontroller(self.path.read_bytes())
        self.assertIn("FULLY_CONNECTED", dict(found))
        interpreter = lite.make_interpreter(self.path.read_bytes())
        for details in (
            interpreter.get_input_details(),
            interpreter.get_output_details(),
        ):
            self.assertEqual(details[0]["dtype"], np.int8)

    def test_c_array(self):
        model = small_models.make_model(tasks=1)
        x = small_models.random_inputs(model, 40)
        lite.export_task(
            model,
            self.path,
            precision="int8",
            compression="none",
            representative_data=x,
        )
        source, header, main = lite.export_c_array(self.path)
        text = source.read_text()
        values = re.findall(r"0x([0-9a-f]{2})", text)
        content = bytes.fromhex("".join(values))
        # No firmware reads what the file says of its task.
        whole = self.path.read_bytes()
        self.assertNotIn(b"TFLITE_METADATA", content)
        self.assertLess(len(content), len(whole) - 500)
        (self.folder / "array.tflite").write_bytes(content)
        np.testing.assert_array_equal(
            lite.run_file(self.folder / "array.tflite", x),
            lite.run_file(self.path, x),
        )
        self.assertIn("alignas(16)", text)
        self.assertIn("g_task_size = " + str(len(values)), text)
        text = header.read_text()
        self.assertIn("g_task[]", text)
        for operator in ("FullyConnected",):
            self.assertIn(f"resolver.Add{operator}();", text)
        # Its name, number of classes, and scales.
        self.assertRegex(text, r'{"task 0", 4, \d\.\d+e-\d+f, -?\d+, \d')
        self.assertIn('#include "task.h"', main.read_text())

    def test_other_files_are_refused(self):
        model = small_models.make_model(tasks=1)
        lite.export_bundle(model, self.path)
        with self.assertRaisesRegex(lite.ExportError, "SCATTER_ND"):
            lite.export_c_array(self.path)
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_sparse_files_are_refused(self):
        model = small_models.make_model(
            small_models.dense_backbone((64, 64), 60), tasks=1, kept=0.1
        )
        lite.export_task(model, self.path)
        message = "DENSIFY.*compression='micro'"
        with self.assertRaisesRegex(lite.ExportError, message):
            lite.export_c_array(self.path)

    def test_names_must_be_identifiers(self):
        model = small_models.make_model(tasks=1)
        lite.export_task(model, self.path, compression="none")
        with self.assertRaisesRegex(ValueError, "identifier"):
            lite.export_c_array(self.path, "3 d")
