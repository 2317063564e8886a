"""Runs to learn from, each `python -m examples.NAME --flags`."""

import os
import sys
import tempfile

STDERR = 2


def _import_quietly() -> None:
    """Imports TensorFlow without the lines that its C++ code writes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    terminal = os.dup(STDERR)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), STDERR)
        try:
            import tensorflow  # noqa: F401
        except BaseException:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            os.dup2(terminal, STDERR)
            os.close(terminal)


if "tensorflow" not in sys.modules:
    _import_quietly()
