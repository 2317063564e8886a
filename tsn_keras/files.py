"""Files and folders that appear under their name when they are complete."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def complete_file(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write a file to, which then gets its real name.

    What was there before stays if the writing fails or is stopped. A link
    stays a link.
    """
    target = pathlib.Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder. Choose another name.")
    with _beside(target) as folder:
        unfinished = folder / target.name
        yield unfinished
        unfinished.replace(target)


@contextlib.contextmanager
def complete_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write a file or a folder to, and others beside it.

    All that is written to its parent moves to the parent of `path`. Folders
    that are there already keep the files that have no successor.
    """
    target = pathlib.Path(path)
    with _beside(target) as folder:
        yield folder / target.name
        for made in folder.iterdir():
            if made.is_dir():
                shutil.copytree(
                    made, target.with_name(made.name), dirs_exist_ok=True
                )
            else:
                made.replace(target.with_name(made.name))


@contextlib.contextmanager
def _beside(target: pathlib.Path) -> Iterator[pathlib.Path]:
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The folder '{target.parent}' does not exist. Create it, or "
            "choose another one."
        )
    # On the same disk, so that moving a file is one step.
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}."
    ) as folder:
        yield pathlib.Path(folder)
