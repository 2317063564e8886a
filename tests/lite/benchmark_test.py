"""Measurements of files."""

import keras

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite.benchmark import peak_arena


class BenchmarkTest(LiteTestCase):
    def test_task_file_and_bundle(self):
        folder = self.folder
        model = small_models.make_model(tasks=2)
        paths = [folder / name for name in ("a.tflite", "all.tflite")]
        lite.export_dense(model, paths[0])
        lite.export_bundle(model, paths[1])
        task, bundle = lite.benchmark(paths, repetitions=3)
        self.assertEqual(task.bytes, paths[0].stat().st_size)
        self.assertLess(task.compressed_bytes, task.bytes)
        self.assertGreater(task.latency_ms, 0)
        self.assertIsNone(task.select_ms)
        self.assertIsNone(task.network_bytes)
        self.assertBetween(bundle.network_bytes, 2000, task.bytes)
        self.assertGreater(bundle.select_ms, 0)
        self.assertGreater(bundle.load_ms, 0)

    def test_sizes_that_are_open(self):
        layers = [
            keras.layers.Conv1D(32, 3, padding="same", activation="relu"),
            keras.layers.Conv1D(32, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling1D(),
        ]
        backbone = keras.Sequential([keras.Input((None, 8)), *layers])
        model = small_models.make_model(backbone, tasks=1)
        lite.export_task(model, self.path)
        bundle = self.folder / "all.tflite"
        lite.export_bundle(model, bundle)
        paths = [self.path, bundle]
        short = lite.benchmark(paths, repetitions=5)
        long = lite.benchmark(paths, repetitions=5, open_size=4000)
        for before, after in zip(short, long):
            self.assertGreater(after.latency_ms, 5 * before.latency_ms)
        with self.assertRaisesRegex(ValueError, "open_size=0"):
            lite.benchmark(paths, open_size=0)

    def test_arena_of_a_chain(self):
        folder = self.folder
        backbone = small_models.dense_backbone((12, 30), 20)
        model = small_models.make_model(backbone, tasks=1)
        lite.export_dense(model, folder / "a.tflite")
        content = (folder / "a.tflite").read_bytes()
        # 12 units and 30 units at once are the most.
        self.assertEqual(peak_arena(content), 4 * (12 + 30))
