import json
import pathlib
import tempfile
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.threads import at_once
from tsn_keras.evaluation import ScenarioRun


def make_tasks(num_tasks=3):
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 240)
    images = random.random((240, 4, 4), np.float32) / 4
    images[np.arange(240), labels, labels] += 0.75
    data = tsn_keras.scenarios.ImageData.from_arrays(
        (images[:160], labels[:160]), (images[160:], labels[160:])
    )
    return tsn_keras.scenarios.PermutedPixels(data, num_tasks)


def make_model():
    keras.utils.set_random_seed(0)
    model = tsn_keras.ContinualModel(
        keras.Sequential(
            [keras.Input((16,)), keras.layers.Dense(16, activation="relu")]
        ),
        pruning=tsn_keras.pruning.MagnitudePruning(0.5),
        quantization=tsn_keras.quantization.AdaptiveCodebook(fine_tune_steps=5),
        seed=0,
    )
    model.compile(
        keras.optimizers.Adam(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def learn(run, count):
    for _ in range(count):
        run.learn(keras.layers.Dense(4), epochs=4)


class ScenarioRunTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)

    def test_report_and_plots(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 3)
        self.assertEmpty(run.remaining)
        run.finish({"epochs": 4}, single=[1.0, 1.0, 1.0])
        report = json.loads((self.folder / "report.json").read_text())
        self.assertTrue(report["bit_exact"])
        self.assertEqual(report["metrics"]["backward_transfer"], 0.0)
        self.assertGreater(report["metrics"]["average_accuracy"], 0.5)
        self.assertLen(report["tasks"], 3)
        parts = report["training_seconds"], report["consolidation_seconds"]
        self.assertGreater(min(parts), 0.0)
        self.assertLess(sum(parts), report["seconds"])
        self.assertEqual(
            report["capacity"]["total_bytes"],
            run.model.capacity().total_bytes,
        )
        for name in ("accuracy_matrix.png", "capacity.png", "model.keras"):
            self.assertGreater((self.folder / name).stat().st_size, 1000)

    def test_one_thread_at_a_time(self):
        run = ScenarioRun(make_model(), make_tasks(1), self.folder)
        refused = []

        def refuse(call, *arguments):
            with self.assertRaisesRegex(RuntimeError, "another thread"):
                call(*arguments)
            refused.append(call)

        class Interferes(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                at_once(
                    lambda: refuse(run.learn, keras.layers.Dense(4)),
                    lambda: refuse(run.finish, {}),
                )

        run.learn(keras.layers.Dense(4), callbacks=[Interferes()])
        self.assertLen(refused, 2)
        self.assertEqual(run.learned, 1)

    def test_resumed_run_ends_in_the_same_bank(self):
        whole = ScenarioRun(make_model(), make_tasks(), self.folder / "a")
        learn(whole, 3)
        parts = ScenarioRun(make_model(), make_tasks(), self.folder / "b")
        learn(parts, 1)
        resumed = ScenarioRun(
            make_model(), make_tasks(), self.folder / "b", resume=True
        )
        self.assertLen(resumed.remaining, 2)
        self.assertEqual(resumed.training_seconds, parts.training_seconds)
        learn(resumed, 2)
        np.testing.assert_array_equal(
            resumed.matrix.values, whole.matrix.values
        )
        self.assertEqual(
            resumed.model.bank.to_bytes(), whole.model.bank.to_bytes()
        )
        self.assertTrue(resumed.finish({})["bit_exact"])

    def test_stopped_between_the_two_files(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 1)
        progress = (self.folder / "progress.json").read_bytes()
        learn(run, 1)
        (self.folder / "progress.json").write_bytes(progress)
        resumed = ScenarioRun(
            make_model(), make_tasks(), self.folder, resume=True
        )
        self.assertLen(resumed.remaining, 1)
        np.testing.assert_array_equal(resumed.matrix.values, run.matrix.values)
        learn(resumed, 1)
        self.assertTrue(resumed.finish({})["bit_exact"])

    def test_resume_refuses_another_scenario(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 1)
        others = [*make_tasks()][1:]
        with self.assertRaisesRegex(ValueError, "permutation_0"):
            ScenarioRun(make_model(), others, self.folder, resume=True)

    def test_a_changed_bit_is_found(self):
        run = ScenarioRun(make_model(), make_tasks(), self.folder)
        learn(run, 1)
        model = run.model
        decode = model.bank.effective

        def decode_wrongly(task):
            return [kernel + np.float32(1e-3) for kernel in decode(task)]

        model.switch.forget()
        model.switch.clear_views()
        with mock.patch.object(model.bank, "effective", decode_wrongly):
            self.assertFalse(run.finish({})["bit_exact"])
