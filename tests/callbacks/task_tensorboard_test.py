"""Tests of the curves for TensorBoard, read from the event files."""

import os
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl.testing import absltest

from tests.digits_tasks import (
    begin,
    consolidate,
    everything,
    make_model,
    without_fine_tuning,
)
from tsn_keras.callbacks import TaskTensorBoard

KERNELS = ("sequential/dense/kernel", "sequential/last/kernel")


def small_model(**arguments):
    backbone = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(32, "relu", name="dense"),
            keras.layers.Dense(16, "relu", name="last"),
        ],
        name="sequential",
    )
    quantization = without_fine_tuning()
    return make_model(backbone, quantization=quantization, **arguments)


def read(folder):
    """Returns the values written, by tag and step."""
    values = {}
    for path in sorted(pathlib.Path(folder).glob("events*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                key = value.tag, event.step
                assert key not in values, f"{key} is written twice."
                values[key] = float(tf.make_ndarray(value.tensor))
                plugin = value.metadata.plugin_data.plugin_name
                assert plugin == "scalars", plugin
    return values


class TaskTensorBoardTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def test_what_tasks_use(self):
        model = small_model(sharing="always")
        begin(model, 0)
        consolidate(model, 0)
        board = TaskTensorBoard(self.folder)
        for number in (1, 2):
            begin(model, number, epochs=2, callbacks=[board])
            report = consolidate(model, number)
        written = read(self.folder)
        bank = model.bank
        for index, path in enumerate(KERNELS):
            for number, task in enumerate(bank.tasks):
                report = model.report(task)
                for kind in ("sparsity", "bits", "own", "shared"):
                    np.testing.assert_allclose(
                        written[f"{kind}/{path}", number],
                        getattr(report, kind)[path],
                        rtol=1e-6,
                    )
            self.assertAlmostEqual(
                written[f"used_budget/{path}", 2],
                bank.used_bits(index).mean() / 32,
                places=6,
            )
            used = [bank.used_slots(task)[index] for task in bank.tasks]
            for one, other in ((1, 0), (2, 0), (2, 1)):
                tag = f"mask_overlap/{path}/{bank.tasks[other]}"
                expected = (used[one] & used[other]).sum()
                expected /= (used[one] | used[other]).sum()
                self.assertAlmostEqual(written[tag, one], expected, places=6)
                self.assertGreater(expected, 0)
            # 400 examples are 13 steps an epoch.
            tag = f"training/task 2/sparsity/{path}"
            steps = [step for name, step in written if name == tag]
            self.assertEqual(steps, [13, 26])
            self.assertAlmostEqual(
                written[tag, 26], written[f"sparsity/{path}", 2], delta=0.01
            )
            self.assertLessEqual(written[tag, 13], written[tag, 26])

    def test_changes_nothing_that_is_learned(self):
        banks = []
        for callbacks in ([], [TaskTensorBoard(self.folder)]):
            keras.utils.set_random_seed(0)
            model = small_model()
            begin(model, 0, callbacks=callbacks)
            consolidate(model, 0)
            banks.append(everything(model))
        self.assertEqual(*banks)

    def test_nothing_is_written_before_there_is_anything(self):
        TaskTensorBoard(self.folder)
        self.assertEmpty(os.listdir(self.folder))
