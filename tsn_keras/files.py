"""Files that appear when they are complete."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def complete_file(path: str | os.PathLike) -> Iterator[str]:
    """Gives the path to write a file to, which then takes its own place.

    A file that was there before stays if the writing fails or is stopped.

    Args:
        path: str or path, where the file is to appear.
    """
    target = pathlib.Path(os.path.realpath(path))
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}."
    ) as directory:
        unfinished = os.path.join(directory, target.name)
        yield unfinished
        os.replace(unfinished, target)
