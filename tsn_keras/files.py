"""Files and folders that are complete, or not there at all."""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:
    # Windows has none. Nothing is swept there.
    fcntl = None

# In the folder where something is written: what is new, what stood under the
# name before, and a file that is locked as long as somebody writes.
_NEW, _OLD, _LOCK = "new", "old", "lock"
_SUFFIX = ".unfinished"
# The folder of a process that was killed before it had a lock.
_FORGOTTEN_SECONDS = 60.0


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
        unfinished = folder / _NEW / target.name
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
        unfinished = folder / _NEW / target.name
        yield unfinished
        made = set(unfinished.parent.iterdir()) - {unfinished}
        # What the others belong to comes last.
        for part in (*sorted(made), unfinished):
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
    before = folder / _OLD / target.name
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
    # Not every system can do it with folders.
    ignored = (OSError,) if path.is_dir() else ()
    with contextlib.suppress(*ignored):
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
    # Others may sweep as well, or the folder cannot be listed.
    with contextlib.suppress(OSError):
        _sweep(target)
    with (
        tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f".{target.name}.", suffix=_SUFFIX
        ) as name,
        contextlib.ExitStack() as stack,
    ):
        folder = pathlib.Path(name)
        for part in (_NEW, _OLD):
            (folder / part).mkdir()
        # It gets its name when it is locked.
        early = folder / f"{_LOCK}{_SUFFIX}"
        early.touch()
        stack.enter_context(_locked(early))
        early.rename(folder / _LOCK)
        yield folder


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[bool]:
    """Locks a file, until the process ends at the latest; tells whether.

    Nobody else has it locked then, in this process or in another one.
    """
    if fcntl is None:
        yield False
        return
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Somebody has, or the file system knows no locks.
            yield False
            return
        yield True


def _sweep(target: pathlib.Path) -> None:
    """Removes what killed processes have left of a target.

    What stood under the target's name, and was on its way out, comes back.
    """
    name, suffix = re.escape(f".{target.name}."), re.escape(_SUFFIX)
    pattern = re.compile(f"{name}[a-z0-9_]{{8}}{suffix}")
    for folder in target.parent.iterdir():
        if not pattern.fullmatch(folder.name) or not folder.is_dir():
            continue
        lock = folder / _LOCK
        if not lock.exists():
            if time.time() - folder.stat().st_mtime > _FORGOTTEN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        with _locked(lock) as is_left:
            if not is_left:
                continue
            for part in (folder / _OLD).iterdir():
                place = target.with_name(part.name)
                if not place.exists():
                    part.rename(place)
            shutil.rmtree(folder, ignore_errors=True)
