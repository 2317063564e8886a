"""The file of results: one line of JSON for each job that is done."""

import datetime
import json
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("keras", "tensorflow", "tensorflow-model-optimization", "numpy")
IDENTITY = ("row", "variant", "seed", "fold", "settings")


class Results:
    """Lines that were written, by this run and by earlier ones.

    Args:
        path: The file; it need not exist.
        identity: The keys that tell jobs from each other.
    """

    def __init__(
        self, path: pathlib.Path, identity: Sequence[str] = IDENTITY
    ) -> None:
        self.path = path
        self.identity = tuple(identity)
        self.lines: list[dict[str, Any]] = []
        if path.exists():
            for text in path.read_text(encoding="utf-8").splitlines():
                try:
                    self.lines.append(json.loads(text))
                except json.JSONDecodeError:
                    # The run was stopped while it wrote this line.
                    continue

    def find(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Returns the latest line of a job, or None if it was not run."""
        for line in reversed(self.lines):
            if all(line.get(key) == identity[key] for key in self.identity):
                return line
        return None

    def add(self, line: dict[str, Any]) -> dict[str, Any]:
        """Writes a line at the end; returns it as it is in the file."""
        text = json.dumps({**line, **provenance()})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            # What an earlier run left unfinished stays a line of its own.
            if file.tell():
                file.seek(-1, 2)
                text = text if file.read(1) == b"\n" else "\n" + text
            file.write(f"{text}\n".encode())
        self.lines.append(json.loads(text))
        return self.lines[-1]


def provenance() -> dict[str, Any]:
    """Returns what the line was made with, and when."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        versions[name] = metadata.version(name)
    now = datetime.datetime.now(datetime.UTC)
    return {
        "commit": commit(),
        "versions": versions,
        "time": now.isoformat(timespec="seconds"),
    }


def commit() -> str | None:
    """Returns the commit of the checkout, `+` if files were changed."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + ("+" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
