"""One task whose weights microcontrollers decode."""

import numpy as np
from absl.testing import parameterized

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tests.lite.micro.micro_test_case import (
    HAS_TFLITE_MICRO,
    data_of,
    dense_model,
    depthwise_model,
    needs_tflite_micro,
)
from tsn_keras import lite
from tsn_keras.lite.files.flatbuffer import FlatModel


class MicroTaskTest(LiteTestCase):
    def export(self, model, **arguments):
        return lite.export_task(
            model,
            self.path,
            **{
                "precision": "int8",
                "compression": "micro",
                "representative_data": data_of(model)["task 0"],
                "min_agreement": 0,
                **arguments,
            },
        )

    @needs_tflite_micro
    @parameterized.parameters(dense_model, depthwise_model)
    def test_answers_equal_those_of_plain_weights(self, make):
        model = make()
        x = small_models.random_inputs(model, 50)
        report = self.export(model)
        found = lite.MicroRunner(self.path, report.micro.arena_bytes).predict(x)
        plain = self.export(model, compression="none")
        wanted = lite.MicroRunner(self.path).predict(x)
        np.testing.assert_array_equal(found, wanted)
        self.assertGreater(len(np.unique(found)), 4)
        self.assertLess(report.bytes, 0.6 * plain.bytes)
        self.assertIsNone(plain.micro)

    def test_report_and_metadata(self):
        model = dense_model()
        report = self.export(model)
        self.assertEqual(report.compression, "micro")
        figures = report.to_dict()["micro"]
        self.assertEqual(figures["forms"], {"bitmap": 2, "plain": 1})
        self.assertLess(figures["flash_bytes"], report.bytes)
        self.assertEqual(figures["arena_bytes"] is not None, HAS_TFLITE_MICRO)
        metadata = lite.read_task_metadata(self.path)
        self.assertEqual(metadata["task"], "task 0")
        names = dict(lite.check_microcontroller(self.path.read_bytes()))
        self.assertEqual(names["CUSTOM:TFLM_DECODE"], 1)

    def test_inputs_that_no_unit_reads_are_left_out(self):
        backbone = small_models.dense_backbone((120, 16), 400)
        model = small_models.make_model(backbone, tasks=0)
        small_models.add_random_task(
            model, 0, small_models.layers.Dense(4), kept=0.05, uneven=True
        )
        report = self.export(model)
        self.assertIn("GATHER", dict(lite.operators(self.path.read_bytes())))
        self.assertLess(report.micro.largest_layer, 0.8 * 400 * 120)
        if HAS_TFLITE_MICRO:
            x = small_models.random_inputs(model, 20)
            found = lite.MicroRunner(self.path).predict(x)
            self.export(model, compression="none")
            wanted = lite.MicroRunner(self.path).predict(x)
            np.testing.assert_array_equal(found, wanted)

    @parameterized.named_parameters(
        ("float", {"precision": "float32"}, "precision='int8'"),
        ("any_batch", {"batch_size": None}, "static batch size"),
        ("no_memory", {"max_arena": 0}, "max_arena"),
        (
            "other_form",
            {"compression": "none", "max_arena": 9},
            "compression='micro'",
        ),
    )
    def test_bad_arguments(self, arguments, message):
        with self.assertRaisesRegex(ValueError, message):
            self.export(dense_model(units=(8,)), **arguments)
        self.assertEmpty(list(self.folder.iterdir()))

    def test_layers_without_kernels_are_named(self):
        layers = small_models.layers
        backbone = small_models.keras.Sequential(
            [
                small_models.keras.Input((6, 4)),
                layers.Conv1D(8, 3, name="first"),
                layers.ELU(name="curved"),
                layers.Flatten(),
            ]
        )
        model = small_models.make_model(backbone, tasks=1)
        with self.assertRaisesRegex(lite.ExportError, "ELU.*curved"):
            self.export(model)
        self.assertEmpty(list(self.folder.iterdir()))

    def test_other_versions_of_the_format_are_refused(self):
        self.export(dense_model())
        content = self.path.read_bytes()
        header = bytes([2, 1, 0, 0, 1]).ljust(16, b"\0")
        self.assertIn(header, content)
        other = content.replace(header, b"\2\7" + header[2:])
        with self.assertRaisesRegex(lite.ExportError, "version 7.*TFLM_DECODE"):
            lite.check_microcontroller(other)

    def test_other_versions_of_the_operator_are_refused(self):
        model = FlatModel.empty()
        graph = model.add_graph()
        graph.add_operator(graph.make_custom("TFLM_DECODE", [], [0], 2))
        graph.add_tensor([1])
        with self.assertRaisesRegex(
            lite.ExportError, "CUSTOM:TFLM_DECODE version 2"
        ):
            lite.check_microcontroller(model.to_bytes())
