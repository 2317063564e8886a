import os
import subprocess
import sys

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tsn_keras import tfmot

LEAVES_KERAS_ALONE = """
import os
from tsn_keras import tfmot
assert tfmot.is_schedule(tfmot.cubic_schedule(0.5, 0, 10, 1))
import tensorflow as tf, keras
print(os.environ.get("TF_USE_LEGACY_KERAS"))
print(tf.keras.__version__ == keras.__version__)
"""

IMPORTED_BEFORE = """
from tensorflow_model_optimization.sparsity.keras import ConstantSparsity
import tsn_keras
schedule = ConstantSparsity(0.5, begin_step=0)
pruning = tsn_keras.pruning.MagnitudePruning(schedule=schedule)
print(pruning.target("kernel"))
"""


class ImportTest(parameterized.TestCase):
    @parameterized.parameters(
        (LEAVES_KERAS_ALONE, None, ["None", "True"]),
        (LEAVES_KERAS_ALONE, "0", ["0", "True"]),
        (IMPORTED_BEFORE, None, ["0.5"]),
    )
    def test_in_a_new_process(self, code, variable, printed):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment.pop("TF_USE_LEGACY_KERAS", None)
        if variable is not None:
            environment["TF_USE_LEGACY_KERAS"] = variable
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.stdout.split(), printed, done.stderr)


class ScheduleTest(parameterized.TestCase):
    def test_cubic(self):
        schedule = tfmot.cubic_schedule(0.8, 10, 30, 5)
        for step in (0, 5, 10, 15, 20, 29, 30, 50):
            done = np.clip((step - 10) / 20, 0, 1)
            self.assertAlmostEqual(
                tfmot.schedule_sparsity(schedule, step),
                0.8 - 0.8 * (1 - done) ** 3,
                places=6,
            )

    def test_dense_before_a_schedule_begins(self):
        schedule = tfmot.schedule_from_config(
            {
                "class_name": "ConstantSparsity",
                "config": {"target_sparsity": 0.5, "begin_step": 4},
            }
        )
        found = [tfmot.schedule_sparsity(schedule, step) for step in (3, 4, 9)]
        self.assertEqual(found, [0.0, 0.5, 0.5])

    def test_config_round_trip(self):
        schedule = tfmot.cubic_schedule(0.8, 10, 30, 5)
        again = tfmot.schedule_from_config(schedule.get_config())
        self.assertIs(type(again), type(schedule))
        self.assertEqual(again.get_config(), schedule.get_config())

    def test_schedule_of_ones_own(self):
        base = type(tfmot.cubic_schedule(0.8, 10, 30, 5)).__base__

        class Steps(base):
            def __init__(self, height):
                self.height = height

            def __call__(self, step):
                return True, self.height * tf.cast(step > 3, tf.float32)

            def get_config(self):
                config = {"height": self.height}
                return {"class_name": "Steps", "config": config}

        schedule = Steps(0.25)
        self.assertTrue(tfmot.is_schedule(schedule))
        self.assertEqual(tfmot.schedule_sparsity(schedule, 3), 0.0)
        self.assertEqual(tfmot.schedule_sparsity(schedule, 4), 0.25)
        with self.assertRaisesRegex(ValueError, "'Steps'.*custom_object_scope"):
            tfmot.schedule_from_config(schedule.get_config())
        with keras.saving.custom_object_scope({"Steps": Steps}):
            again = tfmot.schedule_from_config(schedule.get_config())
        self.assertEqual(again.height, 0.25)

    def test_no_schedule(self):
        for value in (0.5, None, lambda step: 0.5):
            self.assertFalse(tfmot.is_schedule(value))


class ClusteringTest(parameterized.TestCase):
    def test_gradients_are_summed_by_cluster(self):
        centroids = tf.Variable([1.0, 2.0, 3.0])
        algorithm = tfmot.clustering_algorithm(centroids)
        codes = tf.constant([[0, 2], [2, 2]])
        factors = tf.constant([[1.0, 10.0], [100.0, 1000.0]])
        with tf.GradientTape() as tape:
            kernel = algorithm.get_clustered_weight(codes, tf.zeros((2, 2)))
            loss = tf.reduce_sum(factors * kernel)
        np.testing.assert_array_equal(kernel, [[1, 3], [3, 3]])
        gradient = tf.convert_to_tensor(tape.gradient(loss, centroids))
        np.testing.assert_array_equal(gradient, [1, 0, 1110])
