"""Files and folders that are complete, or not there at all."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator

# Folders that this process writes to.
_open: set[str] = set()
# What stood under the name, while something else takes its place.
_BEFORE = "before"


class DamagedFileError(ValueError):
    """A file is damaged, is none of tsn_keras, or of another version of it.

    Nothing was taken over from it.
    """


@contextlib.contextmanager
def complete_file(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write a file to, which then gets its real name.

    What was there before stays if the writing fails or is stopped, or if the
    machine is. A link stays a link.
    """
    target = pathlib.Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder. Choose another name.")
    with _beside(target, path) as folder:
        unfinished = folder / target.name
        yield unfinished
        _write_through(unfinished)
        unfinished.replace(target)
        _write_through(target.parent)


@contextlib.contextmanager
def complete_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a path to write a file or a folder to, and others beside it.

    All that is written to its parent moves to the parent of `path`, each file
    and each folder in one step. Folders that are there already keep the files
    that have no successor.
    """
    target = pathlib.Path(path)
    with _beside(target, path) as folder:
        unfinished = folder / target.name
        yield unfinished
        made = [part for part in folder.iterdir() if part != unfinished]
        for part in (*made, unfinished):
            if part.is_dir():
                _replace_folder(part, target.with_name(part.name), folder)
            elif part.exists():
                _write_through(part)
                part.replace(target.with_name(part.name))
        _write_through(target.parent)


def _replace_folder(
    made: pathlib.Path, target: pathlib.Path, folder: pathlib.Path
) -> None:
    """Puts a folder in the place of another one, of which it takes the rest."""
    if target.is_dir():
        for root, _, names in os.walk(target):
            kept = made / pathlib.Path(root).relative_to(target)
            kept.mkdir(exist_ok=True)
            for name in names:
                if not (kept / name).exists():
                    shutil.copy2(pathlib.Path(root, name), kept / name)
    for root, _, names in os.walk(made):
        for name in names:
            _write_through(pathlib.Path(root, name))
        _write_through(pathlib.Path(root))
    before = folder / _BEFORE / target.name
    before.parent.mkdir(exist_ok=True)
    try:
        if target.is_dir():
            target.rename(before)
        made.rename(target)
    except BaseException:
        if before.exists() and not target.exists():
            before.rename(target)
        raise


def _write_through(path: pathlib.Path) -> None:
    """Waits until a file or a folder is on the disk."""
    # Not every system lets a folder be opened.
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _beside(
    target: pathlib.Path, given: str | os.PathLike
) -> Iterator[pathlib.Path]:
    """A folder on the same disk, so that moving a file is one step."""
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of '{os.fspath(given)}' does not exist. Create it, "
            "or choose another one."
        )
    _sweep(target)
    prefix = f".{target.name}.{_host()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=prefix, suffix=".unfinished"
    ) as folder:
        _open.add(folder)
        try:
            yield pathlib.Path(folder)
        finally:
            _open.discard(folder)


def _host() -> str:
    return re.sub("[^A-Za-z0-9]", "_", socket.gethostname())


def _sweep(target: pathlib.Path) -> None:
    """Removes what killed processes of this machine have left of a target.

    What stood under the target's name, and was on its way out, comes back.
    """
    name = re.escape(f".{target.name}.{_host()}-")
    pattern = re.compile(name + r"(\d+)-[^.]*\.unfinished")
    for folder in target.parent.iterdir():
        found = pattern.fullmatch(folder.name)
        if not found or not folder.is_dir() or _is_open(folder, int(found[1])):
            continue
        before = folder / _BEFORE
        for part in before.iterdir() if before.is_dir() else ():
            place = target.with_name(part.name)
            if not place.exists():
                part.rename(place)
        shutil.rmtree(folder, ignore_errors=True)


def _is_open(folder: pathlib.Path, process: int) -> bool:
    """Tells whether the process of a number may be writing to a folder."""
    if process == os.getpid():
        # Numbers come again, as in a container that was started anew.
        return str(folder) in _open
    if os.name != "posix":
        # There is no question that does no harm.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
