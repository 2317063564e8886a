"""Which files belong to which task, class and part."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tsn_keras.data import check_paths, check_strings, shown
from tsn_keras.scenarios.image_files import is_hidden
from tsn_keras.scenarios.splits import PARTS, TEST, TRAIN, VALIDATION

# What folders of parts are called, here and elsewhere.
PART_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
LAYOUT = "path/TASK/CLASS/IMAGES, or path/TASK/train/CLASS/IMAGES"
# Folders that an error lists.
MOST_NAMES = 10
NO_CLASS = "in no folder of a class"


@dataclasses.dataclass
class TaskFiles:
    """The files of a task; entry i of each list belongs to file i.

    Args:
        labels: Numbers of the classes.
        parts: `"train"`, `"validation"` or `"test"`; empty in folders that
            have no parts.
        skipped: Why other files were not taken, by their paths.
    """

    name: str
    folder: pathlib.Path
    class_names: list[str]
    paths: list[str]
    labels: np.ndarray
    parts: np.ndarray
    skipped: dict[str, str]

    def only(self, rows: np.ndarray) -> "TaskFiles":
        """Returns the task with some of its files."""
        return dataclasses.replace(
            self,
            paths=[self.paths[row] for row in rows],
            labels=self.labels[rows],
            parts=self.parts[rows],
        )


def find_tasks(path: Any) -> tuple[list[TaskFiles], dict[str, str]]:
    """Finds the files of all tasks.

    Args:
        path: A folder that has one folder for each task; or the tasks' own
            folders, as a dict by their names or as a list.

    Returns:
        The tasks, and why files beside them were not taken, by their paths.
    """
    tasks = [_files(name, folder) for name, folder in _folders(path)]
    beside = {}
    if isinstance(path, (str, os.PathLike)):
        beside = _no_class(_existing(path))
    return tasks, beside


def _folders(path: Any) -> list[tuple[str, pathlib.Path]]:
    if isinstance(path, Mapping):
        for name, folder in path.items():
            check_strings(path=name)
            check_paths(path=folder)
        named = [(name, _existing(folder)) for name, folder in path.items()]
    elif isinstance(path, Sequence) and not isinstance(path, (str, bytes)):
        for folder in path:
            check_paths(path=folder)
        found = [_existing(folder) for folder in path]
        named = [(folder.resolve().name, folder) for folder in found]
    else:
        check_paths(path=path)
        return _folders_of_tasks(_existing(path))
    if not named:
        raise ValueError(
            "`path` names no folder. Give one for each task. Received: "
            f"path={shown(path)}"
        )
    names = [name for name, _ in named]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        folders = [str(folder) for name, folder in named if name == twice[0]]
        raise ValueError(
            f"Two tasks are named '{twice[0]}': {', '.join(folders)}. Name "
            "them in a dict: "
            f"{{'{twice[0]}': {folders[0]!r}, 'another': {folders[1]!r}}}"
        )
    return named


def _folders_of_tasks(root: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
    folders = _visible(root, folders=True)
    if not folders:
        files = len(_visible(root, folders=False))
        holds = f"has {files} files and no folders" if files else "is empty"
        raise ValueError(
            f"The folder '{root}' {holds}. It must have one folder for each "
            f"task: {LAYOUT}"
        )
    if all(_part(folder) for folder in folders):
        raise ValueError(
            f"'{root}' has the folders {[f.name for f in folders]}, which are "
            "parts of one task. The tasks must come first: "
            f"{LAYOUT}. If this is one task, give "
            f"{{'{root.resolve().name}': {str(root)!r}}}"
        )
    if not any(_visible(folder, folders=True) for folder in folders):
        raise ValueError(
            f"The folders in '{root}', such as '{folders[0].name}', have no "
            f"folders of classes in them: {LAYOUT}. If they are the classes "
            f"of one task, give {{'{root.resolve().name}': {str(root)!r}}}"
        )
    return [(folder.name, folder) for folder in folders]


def _existing(path: str | os.PathLike) -> pathlib.Path:
    folder = pathlib.Path(path).expanduser()
    if not folder.exists():
        parent = next(p for p in folder.absolute().parents if p.exists())
        names = [f.name for f in _visible(parent, folders=True)]
        more = f" and {len(names) - MOST_NAMES} more" * (
            len(names) > MOST_NAMES
        )
        raise ValueError(
            f"There is no folder '{folder}'. '{parent}' exists, with the "
            f"folders {names[:MOST_NAMES]}{more}"
        )
    if not folder.is_dir():
        raise ValueError(
            f"'{folder}' is a file. `path` must be a folder: {LAYOUT}"
        )
    return folder


def _visible(folder: pathlib.Path, folders: bool) -> list[pathlib.Path]:
    """Returns the folders, or the files, of a folder by name."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_dir() == folders and not is_hidden(path.name)
    )


def _part(folder: pathlib.Path) -> str | None:
    return PART_NAMES.get(folder.name.lower())


def _has_parts(name: str, folder: pathlib.Path) -> bool:
    """Tells whether a task's folders are parts, and not classes.

    A class may be named "train" too; then it has images in it.
    """
    inner = _visible(folder, folders=True)
    parts = [f for f in inner if _part(f) and _visible(f, folders=True)]
    others = [f.name for f in inner if f not in parts]
    if parts and others:
        raise ValueError(
            f"Task '{name}' has folders of parts, "
            f"{[f.name for f in parts]}, beside others, {others}, in "
            f"'{folder}'. It must have either parts or classes. Move the "
            "others away."
        )
    return bool(parts)


def _files(name: str, folder: pathlib.Path) -> TaskFiles:
    skipped = _no_class(folder)
    if _has_parts(name, folder):
        classes = {}
        for inner in _visible(folder, folders=True):
            part = _part(inner)
            if part in classes:
                raise ValueError(
                    f"Task '{name}' has two folders of {part} data in "
                    f"'{folder}'. Keep one of them."
                )
            skipped |= _no_class(inner)
            classes[part] = _visible(inner, folders=True)
        _check_parts(name, folder, classes)
    else:
        classes = {"": _visible(folder, folders=True)}
    images = {
        (part, one.name): _images_of(name, one)
        for part, folders in classes.items()
        for one in folders
    }
    names = sorted({class_name for _, class_name in images})
    if len(names) < 2:
        found = f"only the class '{names[0]}'" if names else "no classes"
        raise ValueError(
            f"Task '{name}' has {found}: '{folder}' must have a folder for "
            "each of at least two classes, with its images in it. The layout "
            f"is {LAYOUT}"
        )
    found = [
        (str(path), names.index(class_name), part)
        for (part, class_name), paths in images.items()
        for path in paths
    ]
    paths, labels, parts = zip(*found) if found else ((), (), ())
    return TaskFiles(
        name,
        folder,
        names,
        list(paths),
        np.array(labels, np.int64),
        np.array(parts, object),
        skipped,
    )


def _no_class(folder: pathlib.Path) -> dict[str, str]:
    return {str(path): NO_CLASS for path in _visible(folder, folders=False)}


def _images_of(task: str, folder: pathlib.Path) -> list[pathlib.Path]:
    for inner in _visible(folder, folders=True):
        if _visible(inner, folders=False):
            raise ValueError(
                f"Class '{folder.name}' of task '{task}' has a folder in it, "
                f"'{inner}', which has files. Images must lie directly in "
                f"the folder of their class: {LAYOUT}. Give the folder that "
                "holds the tasks, or move the images."
            )
    return _visible(folder, folders=False)


def _check_parts(name, folder, classes) -> None:
    if TRAIN not in classes:
        raise ValueError(
            f"Task '{name}' has no folder 'train' in '{folder}', beside "
            f"{sorted(classes)}. Add it."
        )
    by_part = {part: {c.name for c in classes[part]} for part in classes}
    every = set().union(*by_part.values())
    for part in PARTS:
        missing = sorted(every - by_part.get(part, every))
        if missing:
            raise ValueError(
                f"Task '{name}' has no folder for the classes {missing} in its "
                f"{part} part, and has them in others. Every part must have "
                f"every class. Add them to '{folder}', or remove them from "
                "the other parts."
            )
