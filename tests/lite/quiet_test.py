"""What is kept off the terminal, and what is not."""

import os
import pathlib
import subprocess
import sys
import warnings

from absl.testing import absltest

from tests.lite import small_models
from tests.lite.lite_test_case import LiteTestCase
from tsn_keras import lite
from tsn_keras.lite.quiet import quiet

LOG = "W0000 00:00:1796068260.117009  9015 helpers.cc:364] Ignored.\n"
# Every kind of file, in a process that has logged nothing before.
PROGRAM = """
import os, sys
import tensorflow as tf
from tests.lite import small_models
from tsn_keras import lite

tf.constant(1) + 1
print("imported", flush=True)
folder = sys.argv[1]
model = small_models.make_model(
    small_models.dense_backbone((64, 64), 60), tasks=2, kind="linear", width=4
)
x = small_models.random_inputs(model, 20)
for precision in lite.PRECISIONS:
    lite.export_task(
        model,
        os.path.join(folder, "a.tflite"),
        precision=precision,
        representative_data=x,
    )
lite.export_bundle(model, os.path.join(folder, "b.tflite"))
lite.TaskRunner(os.path.join(folder, "b.tflite")).predict(x, "task 0")
lite.benchmark([os.path.join(folder, "b.tflite")], repetitions=1)
lite.export_dense(model, os.path.join(folder, "dense.tflite"))
model.export(os.path.join(folder, "saved"), task="task 0")
print("done")
"""
# Other tests of a process have let LiteRT speak before.
RUNNER = """
import sys
from tsn_keras import lite
print("imported", flush=True)
lite.TaskRunner(sys.argv[1])
lite.make_interpreter(open(sys.argv[1], "rb").read())
"""


class QuietTest(LiteTestCase):
    def run_program(self, program, path):
        """Returns all that a program writes, to either file."""
        root = pathlib.Path(__file__).resolve().parents[2]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
        environment["PYTHONPATH"] = os.pathsep.join([str(root), *sys.path])
        return subprocess.run(
            [sys.executable, "-c", program, path],
            check=True,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ).stdout

    def written(self, function):
        """Returns what a function writes to the process' standard error."""
        path = self.folder / "written"
        kept = os.dup(2)
        file = os.open(path, os.O_CREAT | os.O_RDWR)
        os.dup2(file, 2)
        try:
            function()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(file)
        return path.read_text()

    def test_logs_are_caught_and_all_else_comes_out(self):
        def write():
            with quiet():
                os.write(2, LOG.encode())
                with quiet():
                    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK.\n")
                os.write(2, b"of the user\n")
            os.write(2, b"afterwards\n")

        self.assertEqual(self.written(write), "of the user\nafterwards\n")

    def test_errors_bring_along_what_was_logged(self):
        def fail():
            with self.assertRaises(ValueError) as caught, quiet():
                os.write(2, LOG.replace("W0", "I0").encode())
                os.write(2, LOG.encode() + b"loc: an operator\n")
                raise ValueError("no")
            self.note = "".join(caught.exception.__notes__)

        self.assertEqual(self.written(fail), "")
        self.assertIn("Ignored.", self.note)
        self.assertIn("an operator", self.note)
        self.assertNotIn("I0000", self.note)

    def test_exports_write_nothing(self):
        printed = self.run_program(PROGRAM, self.folder)
        self.assertEndsWith(printed, "imported\ndone\n")
        printed = self.run_program(RUNNER, self.folder / "b.tflite")
        self.assertEndsWith(printed, "imported\n")

    def test_a_process_without_standard_error(self):
        model = small_models.make_model(tasks=1)
        model.save(self.folder / "model.keras")
        program = (
            "import os, sys, keras, tsn_keras\n"
            "os.close(2)\n"
            "model = keras.models.load_model(sys.argv[1] + '/model.keras')\n"
            "tsn_keras.lite.export_task(model, sys.argv[1] + '/a.tflite')\n"
        )
        subprocess.run(
            [sys.executable, "-c", program, self.folder], check=True
        )
        self.assertTrue((self.folder / "a.tflite").exists())

    def test_the_converters_own_warnings_are_none_of_users(self):
        model = small_models.make_model(tasks=1)
        x = small_models.random_inputs(model, 20)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            lite.export_task(
                model, self.path, precision="int8", representative_data=x
            )


if __name__ == "__main__":
    absltest.main()
