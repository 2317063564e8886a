"""Tests of two replicas in one process, and of two workers, one each."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import numpy as np
from absl.testing import parameterized

from tests import replicas_program

ROOT = pathlib.Path(__file__).resolve().parents[1]
DISTRIBUTED = ("mirrored", "worker0", "worker1")


def free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(role, folder, **environment):
    path = os.pathsep.join([str(ROOT), *sys.path])
    with open(os.path.join(folder, f"{role}.log"), "a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.replicas_program", role, folder],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=log,
            stderr=log,
        )


def run_all(folder):
    """Runs all roles at once, each but `one` in a process of its own."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = [start("mirrored", folder)]
    for index in range(2):
        config = {
            "cluster": {"worker": workers},
            "task": {"type": "worker", "index": index},
        }
        processes.append(start("worker", folder, TF_CONFIG=json.dumps(config)))
    try:
        replicas_program.main("one", folder)
        codes = [process.wait(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        logs = [path.read_text() for path in pathlib.Path(folder).glob("*.log")]
        raise AssertionError("\n".join(log[-2000:] for log in logs))


class ReplicasTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        run_all(folder.name)
        cls.found, cls.arrays = {}, {}
        for role in ("one", *DISTRIBUTED):
            path = pathlib.Path(folder.name, role)
            cls.found[role] = json.loads(path.with_suffix(".json").read_text())
            with np.load(path.with_suffix(".npz")) as arrays:
                cls.arrays[role] = dict(arrays)

    @parameterized.parameters(*DISTRIBUTED)
    def test_all_is_the_same_on_replicas(self, role):
        found = self.found[role]
        self.assertEqual(found["replicas"], 2)
        self.assertEqual(found["different values after training"], 1)
        self.assertEqual(found["different values after consolidation"], 1)
        self.assertTrue(found["first task stayed"])
        self.assertEqual(found["loaded"], found["bank"])

    @parameterized.parameters("one", *DISTRIBUTED)
    def test_rounds_of_pruning(self, role):
        found = self.found[role]["by default"]
        self.assertEqual(found["different values"], 1)
        self.assertTrue(found["kept"])
        self.assertGreater(min(found["sparsity"].values()), 0.3)
        # Few steps, so that a round more or less may hold.
        expected = self.found["one"]["by default"]["quality"]
        self.assertAlmostEqual(found["quality"], expected, delta=0.05)

    def test_workers_agree_to_the_bit(self):
        self.assertEqual(self.found["worker0"], self.found["worker1"])

    @parameterized.parameters(*DISTRIBUTED)
    def test_learns_what_one_device_does(self, role):
        one, other = self.found["one"], self.found[role]
        self.assertEqual(one["planes"], other["planes"])
        for expected, found in zip(one["histories"], other["histories"]):
            self.assertEqual(expected.keys(), found.keys())
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, atol=0.01)
        np.testing.assert_allclose(
            other["accuracy"], one["accuracy"], atol=0.02
        )
        for name, array in self.arrays["one"].items():
            if "mask" in name:
                # Sums in another order may swap the last few slots.
                same = (self.arrays[role][name] == array).mean()
                self.assertGreater(same, 0.995)
            else:
                difference = np.abs(self.arrays[role][name] - array)
                self.assertLess(np.median(difference[array != 0]), 1e-3)


