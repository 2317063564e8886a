"""Tests of what importing the package needs and does."""

import os
import subprocess
import sys

from absl.testing import absltest

TFMOT = "tensorflow_model_optimization"


def run_python(program, **environment):
    return subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            **environment,
        },
        capture_output=True,
        text=True,
    )


class ImportTest(absltest.TestCase):
    def test_another_backend_is_refused_clearly(self):
        finished = run_python("import tsn_keras", KERAS_BACKEND="numpy")
        self.assertNotEqual(finished.returncode, 0)
        self.assertIn("ImportError: tsn_keras needs Keras", finished.stderr)
        self.assertIn("backend is 'numpy'", finished.stderr)
        self.assertIn("KERAS_BACKEND=tensorflow", finished.stderr)

    def test_heavy_libraries_wait_until_they_are_used(self):
        names = "ai_edge_litert tensorflow_datasets tf_keras"
        program = (
            "import sys, keras, tensorflow; before = set(sys.modules);"
            "import tsn_keras; after = set(sys.modules) - before;"
            f"print(sorted(set('{names} {TFMOT} matplotlib'.split()) & after))"
        )
        finished = run_python(program)
        self.assertEqual(finished.stdout.strip(), "[]", finished.stderr)
