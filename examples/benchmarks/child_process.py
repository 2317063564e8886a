"""Programs in processes of their own, as the operating system sees them."""

import os
import subprocess
import sys


def peak_mebibytes(arguments: list[str]) -> float:
    """Runs Python and returns the most memory that it had at a time.

    Args:
        arguments: list of str, as `python` takes them.

    Raises:
        RuntimeError: If the program fails.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen([sys.executable, *arguments], env=environment)
    # Unlike `resource.getrusage`, it tells of this one child.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(
            f"python {' '.join(arguments)} ended with {process.returncode}."
        )
    return usage.ru_maxrss / 1024
