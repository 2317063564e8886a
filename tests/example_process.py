"""Runs an example as a user does: in a process of its own."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run_example(*arguments: str, with_errors: bool = False) -> str:
    """Returns what an example printed; raises if it failed.

    Args:
        *arguments: str, what follows `python` on the command line.
        with_errors: Whether what it wrote to standard error follows.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise AssertionError(finished.stderr[-4000:])
    return finished.stdout + (finished.stderr if with_errors else "")
