"""The runner where nothing is installed but ai-edge-litert and numpy.

It makes a virtual environment, which takes a minute. So it is not part of the
suite: `python -m pytest -q tests/device` runs it, and .ci/run does.
"""

import importlib.metadata
import json
import pathlib
import subprocess
import sys
import tempfile
import venv

import numpy as np
import pytest
from absl.testing import absltest

from tests.lite import small_models
from tsn_keras import lite

# What a device runs. It lies beside the runner and the files.
PROGRAM = """
import concurrent.futures, importlib.util, json, sys
import numpy as np
from runner import TaskRunner

ours = [n for n in ("tsn_keras", "keras", "tensorflow")
        if importlib.util.find_spec(n)]
x = np.load("x.npy")
bundle = TaskRunner("all.tflite", num_threads=1)
arrays, labels = {}, {}
for task in bundle.tasks:
    bundle.select(task)
    labels[task] = bundle.labels
    arrays[task] = bundle.predict(x)

def ask(task):
    return bundle.predict(x, task=task)

with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for task, found in zip(bundle.tasks * 9, pool.map(ask, bundle.tasks * 9)):
        assert np.array_equal(found, arrays[task]), task
for name in ("float32", "int8"):
    arrays[name] = TaskRunner(f"{name}.tflite").predict(x)
try:
    bundle.select("x")
except ValueError as error:
    message = str(error)
np.savez("y.npz", **arrays)
print(json.dumps([ours, labels, message]))
"""


def make_environment(folder):
    """Returns the Python of a new environment, or skips the tests."""
    venv.create(folder, with_pip=True)
    binaries = pathlib.Path(
        folder, "Scripts" if sys.platform == "win32" else "bin"
    )
    version = importlib.metadata.version("ai-edge-litert")
    command = [binaries / "python", "-m", "pip", "install", "-q"]
    pip = subprocess.run(
        [*command, f"ai-edge-litert=={version}", "numpy"],
        capture_output=True,
        text=True,
    )
    if pip.returncode:
        reason = (pip.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"pip cannot install ai-edge-litert here: {reason}")
    return binaries / "python"


class RunnerEnvironmentTest(absltest.TestCase):
    def test_nothing_else_is_needed(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        python = make_environment(folder / "environment")
        model = small_models.make_model(tasks=3)
        names = {"task 1": ["cat", "dog", "bird", "fish"]}
        lite.export_bundle(model, folder / "all.tflite", class_names=names)
        x = small_models.random_inputs(model, 64)
        files = {"float32": {}, "int8": {"representative_data": x}}
        for name, data in files.items():
            path = folder / f"{name}.tflite"
            lite.export_task(model, path, "task 2", precision=name, **data)
        lite.copy_runner(folder)
        np.save(folder / "x.npy", x)
        finished = subprocess.run(
            [
                python,
                "-I",
                "-c",
                f"import sys; sys.path[:0] = ['.']\n{PROGRAM}",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        self.assertEqual(finished.returncode, 0, finished.stderr)
        ours, labels, message = json.loads(finished.stdout)
        self.assertEqual(ours, [])
        self.assertEqual(labels, dict.fromkeys(model.tasks) | names)
        self.assertIn("'task 0', 'task 1', 'task 2'", message)
        found = np.load(folder / "y.npz")
        for task in model.tasks:
            expected = model.predict(x, task=task, verbose=0)
            np.testing.assert_allclose(found[task], expected, atol=1e-5)
        for name in files:
            np.testing.assert_allclose(
                found[name],
                lite.run_file(folder / f"{name}.tflite", x),
                atol=1e-6,
            )
