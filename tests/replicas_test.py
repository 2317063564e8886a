"""Tests of training on two replicas, in a process with two logical devices."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import parameterized

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = """
import hashlib, json, sys

import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
device = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(cpu, [device] * 2)

from tests.digits_tasks import (
    begin, consolidate, everything, learn, logits, make_model, mlp
)

def train(strategy):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        model = make_model(mlp())
    learn(model, 0, shuffle=False, batch_size=40)
    first = logits(model).tobytes()
    learn(model, 1, shuffle=False, batch_size=40)
    same = logits(model).tobytes() == first
    begin(model, 2, epochs=1, shuffle=False, batch_size=40)
    # What each replica computes the running task with.
    replicas = []
    for kernel in model.installation.kernels:
        for variable in (kernel.kernel, *kernel.state):
            values = strategy.experimental_local_results(variable.value)
            replicas.append(len({np.asarray(v).tobytes() for v in values}))
    consolidate(model, 2)
    return model, same, replicas

def accuracy(model, number):
    return model.bank[f"task {number}"].facts["after"]

one, _, _ = train(tf.distribute.get_strategy())
two, same, replicas = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
masks = [
    [own for own, _ in model.bank.masks("task 0")] for model in (one, two)
]
model_path = sys.argv[1] + "/model.keras"
two.save(model_path)
loaded = keras.models.load_model(model_path)
print("RESULT", json.dumps({
    "replicas": two.distribute_strategy.num_replicas_in_sync,
    "different values of a variable": max(replicas),
    "first task stayed": same,
    "masks agree": float(np.mean([np.mean(a == b) for a, b in zip(*masks)])),
    "accuracies": [[accuracy(m, n) for n in range(3)] for m in (one, two)],
    "bank is loaded": everything(loaded)[0] == everything(two)[0],
}))
"""


class ReplicasTest(parameterized.TestCase):
    def test_two_replicas_store_what_one_device_does(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        path = os.pathsep.join([str(ROOT), *sys.path])
        finished = subprocess.run(
            [sys.executable, "-c", PROGRAM, folder],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        self.assertEqual(finished.returncode, 0, msg=finished.stderr[-4000:])
        line = finished.stdout.split("RESULT ")[1].splitlines()[0]
        found = json.loads(line)
        self.assertEqual(found["replicas"], 2)
        self.assertEqual(found["different values of a variable"], 1)
        self.assertTrue(found["first task stayed"])
        self.assertTrue(found["bank is loaded"])
        # Sums of floats in another order may swap the last few slots.
        self.assertGreater(found["masks agree"], 0.995)
        for one, two in zip(*found["accuracies"]):
            self.assertAlmostEqual(one, two, delta=0.03)
