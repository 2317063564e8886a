"""The files of a commit in a folder of their own."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def commit_of(name: str) -> str:
    """Returns the full number of a commit."""
    return subprocess.run(
        ["git", "-C", ROOT, "rev-parse", f"{name}^{{commit}}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def check_out(commit: str, folder: pathlib.Path) -> pathlib.Path:
    """Returns a folder with the files of a commit.

    Args:
        commit: Or a folder, such as `.`, which is taken as it is.
        folder: Where the files of a commit go. It is made.
    """
    if pathlib.Path(commit).is_dir():
        return pathlib.Path(commit).resolve()
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", commit], check=True, capture_output=True
    )
    folder.mkdir(parents=True)
    subprocess.run(
        ["tar", "-x", "-C", folder], input=archive.stdout, check=True
    )
    return folder
