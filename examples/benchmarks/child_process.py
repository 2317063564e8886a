"""Programs in processes of their own, as the operating system sees them."""

import os
import sys


def peak_mebibytes(arguments: list[str]) -> float:
    """Runs Python and returns the most memory that it had at a time.

    Args:
        arguments: list of str, as `python` takes them.

    Raises:
        RuntimeError: If the program fails.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, *arguments]
    process = os.posix_spawn(sys.executable, command, environment)
    # `resource.getrusage` would count all children together.
    _, status, usage = os.wait4(process, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise RuntimeError(f"python {' '.join(arguments)} ended with {code}.")
    return usage.ru_maxrss / 1024
