"""The BUILD files cover every Python file, and what each of them imports."""

import ast
import functools
import importlib.metadata
import pathlib
import re
import shutil
import sys
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREES = ("examples", "tests", "tools", "tsn_keras")
NEW_FILE = """{path} is in no target. Add {folder}/BUILD:

load("//tools:folders.bzl", "{macro}")

{macro}(deps = [])  # "//FOLDER" for each folder that its files import

"""


class BuildFiles:
    """The targets of a checkout; its BUILD files are run as Python.

    Attributes:
        srcs: dict of the sources' paths by label.
        deps: dict of labels by label; `pip:NAME` is one from PyPI.
    """

    def __init__(self, root):
        self.root = root
        self.srcs, self.deps = {}, {}
        for file in sorted(root.rglob("BUILD")):
            self._run(file, file.parent)

    def _run(self, file, folder):
        package = folder.relative_to(self.root).as_posix().strip(".")

        def glob(include, exclude=(), allow_empty=False):
            found = {p.name for name in include for p in folder.glob(name)}
            return sorted(found - set(exclude))

        def target(name, srcs=(), deps=(), **_):
            label = f"//{package}:{name}"
            self.srcs[label] = [
                path(src) for src in srcs if not src.startswith("//")
            ]
            self.deps[label] = [full_label(dep, package) for dep in deps]

        def path(src):
            return pathlib.PurePath(package, src).as_posix()

        def load(source, *_):
            if source.startswith("//"):
                bzl = self.root / source[2:].replace(":", "/")
                exec(bzl.read_text(encoding="utf-8"), names)

        def ignore(*_, **__):
            pass

        names = {
            **{rule: target for rule in ("py_library", "py_binary", "py_test")},
            **{rule: ignore for rule in ("exports_files", "licenses")},
            "alias": lambda name, actual: target(name, deps=[actual]),
            "glob": glob,
            "load": load,
            "native": types.SimpleNamespace(
                glob=glob, package_name=lambda: package
            ),
            "package": ignore,
            "requirement": lambda name: f"pip:{normalized(name)}",
        }
        exec(compile(file.read_text(encoding="utf-8"), file, "exec"), names)

    def reached(self, label):
        """Returns the labels that a target depends on, itself included."""
        found, waiting = set(), [label]
        while waiting:
            label = waiting.pop()
            if label not in found:
                found.add(label)
                waiting += self.deps.get(label, [])
        return found

    def cycle(self):
        """Returns labels that depend on each other, each on the next."""
        for start in self.deps:
            trails = [[start]]
            seen = set()
            while trails:
                trail = trails.pop()
                for label in self.deps.get(trail[-1], []):
                    if label == start:
                        return [*trail, start]
                    if label not in seen:
                        seen.add(label)
                        trails.append([*trail, label])
        return []


def normalized(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def full_label(label, package):
    if label.startswith("pip:") or "//" in label and ":" in label:
        return label
    if label.startswith(":"):
        return f"//{package}{label}"
    return f"{label}:{label.rpartition('/')[2]}"


def imported_modules(file):
    """Yields the line and the possible names of each imported module."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, [alias.name]
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                # What is imported from a folder may be a file or a name.
                names = [f"{node.module}.{alias.name}", node.module]
                yield node.lineno, names


def module_file(root, names):
    """Returns the path of the first module that is a file of the checkout."""
    for name in names:
        stem = name.replace(".", "/")
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if (root / path).is_file():
                return path
    return None


@functools.cache
def distributions():
    """Returns the packages of PyPI that are installed, by module."""
    found = importlib.metadata.packages_distributions()
    return {name: set(map(normalized, found[name])) for name in found}


def import_problems(build, label, path, owners):
    """Yields what a file imports and its target does not reach."""
    reached = build.reached(label)
    for line, names in imported_modules(build.root / path):
        top = names[0].partition(".")[0]
        if top in TREES:
            file = module_file(build.root, names)
            missing = file and not reached & set(owners.get(file, [file]))
            if file is None:
                yield f"{path}:{line} imports {names[-1]}, which does not exist"
            elif missing:
                wanted = owners.get(file, ["a target"])[0]
                yield (
                    f"{path}:{line} imports {file}. Add '{wanted}' to the "
                    f"`deps` of {label}"
                )
        elif top not in sys.stdlib_module_names:
            packages = distributions().get(top, {normalized(top)})
            if not reached & {f"pip:{name}" for name in packages}:
                yield (
                    f"{path}:{line} imports {top}. Add it to the BUILD file of "
                    "the root and to setup.py, or '//:test_requirements' to "
                    f"the `deps` of {label}"
                )


def problems(root):
    """Returns what is wrong with the BUILD files, as sentences."""
    build = BuildFiles(root)
    owners = {}
    for label, paths in build.srcs.items():
        for path in paths:
            owners.setdefault(path, []).append(label)
    found = []
    for tree in TREES:
        for file in sorted((root / tree).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            folder = file.parent.relative_to(root).as_posix()
            if path not in owners:
                macro = "pytest_folder" if tree == "tests" else "py_folder"
                found.append(
                    NEW_FILE.format(path=path, folder=folder, macro=macro)
                )
            for label in owners.get(path, []):
                found += import_problems(build, label, path, owners)
    for label, deps in build.deps.items():
        for dep in deps:
            if dep not in build.deps and not dep.startswith("pip:"):
                found.append(f"{label} depends on {dep}, which does not exist")
    if cycle := build.cycle():
        found.append(
            f"Targets form a cycle: {' -> '.join(cycle)}. Move what is "
            "imported both ways into a target of its own, as "
            "//tsn_keras:ground is"
        )
    setup = normalized((root / "setup.py").read_text(encoding="utf-8"))
    for dep in sorted(set(sum(build.deps.values(), []))):
        if dep.startswith("pip:") and f'"{dep[4:]}' not in setup:
            found.append(f"{dep[4:]} is not in setup.py")
    return found


def test_this_checkout():
    found = problems(ROOT)
    assert not found, "\n".join(found)


SMALL_TREE = {
    "setup.py": 'REQUIRED = ["numpy>=1"]\n',
    "BUILD": """\
load("@pip//:requirements.bzl", "requirement")
load("@rules_python//python:defs.bzl", "py_library")

py_library(name = "requirements", deps = [requirement("numpy")])
""",
    "tsn_keras/__init__.py": "from tsn_keras.bank import pack\n",
    "tsn_keras/BUILD": """\
load("//tools:folders.bzl", "py_folder")

py_folder(deps = ["//tsn_keras/bank"])
""",
    "tsn_keras/bank/__init__.py": "import sys\n\nfrom numpy import packbits\n",
    "tsn_keras/bank/BUILD": """\
load("//tools:folders.bzl", "py_folder")

py_folder()
""",
    "tests/bank/pack_test.py": "from tsn_keras import bank\n",
    "tests/bank/BUILD": """\
load("//tools:folders.bzl", "py_folder")

py_folder(deps = ["//tsn_keras"])
""",
}


@pytest.fixture
def small_tree(tmp_path):
    """A checkout in which all is well."""
    for path, text in SMALL_TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/folders.bzl", tmp_path / "tools")
    return tmp_path


def test_small_tree(small_tree):
    assert problems(small_tree) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("tsn_keras/data/a.py", "", "in no target. Add tsn_keras/data/BUILD:"),
        ("tests/data/a.py", "", "in no target. Add tests/data/BUILD:"),
        ("tsn_keras/bank/a.py", "import keras\n", "a.py:1 imports keras. Add"),
        (
            "tsn_keras/bank/a.py",
            "def f():\n    import tsn_keras\n",
            "a.py:2 imports tsn_keras/__init__.py. Add '//tsn_keras:tsn_keras' "
            "to the `deps` of //tsn_keras/bank:bank",
        ),
        ("tsn_keras/a.py", "import tsn_keras.b\n", "which does not exist"),
        (
            "tsn_keras/bank/BUILD",
            'load("//tools:folders.bzl", "py_folder")\n'
            'py_folder(deps = ["//tsn_keras"])',
            "Targets form a cycle: //tsn_keras:tsn_keras -> "
            "//tsn_keras/bank:bank -> //tsn_keras:tsn_keras.",
        ),
        (
            "tests/BUILD",
            'py_library(name = "tests", deps = [":gone"])',
            "//tests:tests depends on //tests:gone, which does not exist",
        ),
        ("setup.py", "", "numpy is not in setup.py"),
    ],
)
def test_problem_is_found(small_tree, path, text, expected):
    (small_tree / path).parent.mkdir(exist_ok=True)
    (small_tree / path).write_text(text, encoding="utf-8")
    assert expected in "\n".join(problems(small_tree))
