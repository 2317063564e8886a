"""The rules of the house: floors, nothing reached into, sizes.

docs/architecture.md explains them.
"""

import ast
import pathlib

import pytest

from tests import private_names

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "tsn_keras"

# Rooms of the package, from the ground. A room imports from lower floors only.
FLOORS = (
    ("distribution", "files", "names", "tfmot", "version"),
    ("keras_internals", "tables"),
    ("bank", "data", "layers"),
    ("inference", "pruning", "quantization", "sharing"),
    ("strategies",),
    ("tasks",),
    ("saving",),
    ("continual_model",),
    ("__init__",),
)
GROUND = FLOORS[0] + FLOORS[1]
# Beside the floors: whose names they may import, if `__init__` gives them out.
BESIDE = {
    "lite": ("bank", "data", "inference", "layers"),
    "evaluation": "all",
    "callbacks": "all",
    "scenarios": "all",
    "baselines": "all",
}
# Who may import what is beside the floors, other than tests and examples.
TOP = ("continual_model", "__init__", *BESIDE)

# The places where private names of Keras, TensorFlow and TF Model
# Optimization are used.
EXEMPT = {
    "tsn_keras/keras_internals.py",
    "tsn_keras/lite/files/flatbuffer.py",
    "tsn_keras/tfmot.py",
}
# What Keras documents as set by its users. The package itself sets nothing.
SETTABLE = {"learning_rate", "trainable"} | {
    *("stop_training", "stop_evaluating", "stop_predicting"),
    # And what users of a `ContinualModel` may exchange between tasks.
    "inference",
    "pruning",
    "quantization",
    "sharing",
}

# An attribute of `zipfile` that it documents as one to set.
SETTABLE_ANYWHERE = {"comment"}

# What own data, results as tables and pages, bundles of all heads, removal of
# tasks, checksums, files for microcontrollers, other methods and published
# benchmarks took.
MOST_FILES, MOST_LINES, MOST_BUILD_LINES = 189, 33_700, 840
# Two methods that say which task it is.
MOST_MODULES, MOST_MODEL_LINES, MOST_MODEL_METHODS = 10, 490, 38


def package_files():
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def room_of(path):
    """Returns the room of a file, given relative to the package."""
    return path.parts[0] if len(path.parts) > 1 else path.stem


def floor_of(room):
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    return None


def imports_of(file):
    """Yields line, module and name of each import from the package."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, node.module, alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None


def resolve(module, name):
    """Returns the room and the module within the package that is imported.

    The module is empty for a name that the room's `__init__` gives out.
    """
    parts = module.split(".")[1:]
    if name is not None:
        folder = ROOT.joinpath(PACKAGE, *parts)
        if (folder / f"{name}.py").exists() or (folder / name).is_dir():
            parts.append(name)
    room = parts[0] if parts else "__init__"
    return room, ".".join(parts[1:])


def complaint(here, there, module):
    """Returns why a room may not import from another, or None if it may."""
    if here == there:
        return None
    if there in BESIDE and here not in TOP:
        return f"`{there}` is beside the floors, for users"
    if here in BESIDE:
        allowed = BESIDE[here]
        if there in GROUND or there == "__init__" != here:
            return None
        if allowed != "all" and there not in allowed:
            return f"`{here}` may import {', '.join(allowed)} and the ground"
        return f"`{here}` may import only public names" if module else None
    if floor_of(here) is None:
        return f"`{here}` is on no floor; add it to FLOORS"
    if there in BESIDE:
        return None
    if floor_of(there) is None:
        return f"`{there}` is on no floor; add it to FLOORS"
    if floor_of(there) >= floor_of(here):
        return f"`{there}` is not below `{here}`"
    return None


def test_imports_point_down():
    found = []
    for file in package_files():
        here = room_of(file.relative_to(ROOT / PACKAGE))
        for line, module, name in imports_of(file):
            if module.partition(".")[0] != PACKAGE:
                continue
            there, inner = resolve(module, name)
            if reason := complaint(here, there, inner):
                path = file.relative_to(ROOT)
                found.append(f"{path}:{line}: {reason}")
    assert not found, _listed(found)


@pytest.mark.parametrize(
    ("here", "there", "module", "expected"),
    [
        ("tasks", "bank", "records", None),
        ("tasks", "tasks", "start", None),
        ("bank", "tasks", "start", "`tasks` is not below `bank`"),
        ("bank", "data", "", "`data` is not below `bank`"),
        ("continual_model", "lite", "", None),
        ("tasks", "lite", "", "`lite` is beside the floors, for users"),
        ("lite", "files", "", None),
        ("lite", "bank", "", None),
        ("lite", "bank", "packing", "`lite` may import only public names"),
        (
            "lite",
            "tasks",
            "",
            "`lite` may import bank, data, inference, layers and the ground",
        ),
        ("callbacks", "bank", "", None),
        (
            "callbacks",
            "bank",
            "records",
            "`callbacks` may import only public names",
        ),
        ("cellar", "bank", "", "`cellar` is on no floor; add it to FLOORS"),
    ],
)
def test_rules_of_imports(here, there, module, expected):
    assert complaint(here, there, module) == expected


@pytest.mark.parametrize("tree", ["tsn_keras", "examples", "tests", "tools"])
def test_nothing_reaches_into_other_objects(tree):
    trees = [tree] if tree == PACKAGE else [tree, PACKAGE]
    found = [
        finding
        for finding in private_names.findings(ROOT, trees)
        if finding.path.startswith(f"{tree}/")
        and finding.path not in EXEMPT
        and not (
            finding.kind == "assignment"
            and finding.name in (SETTABLE if tree != PACKAGE else set())
            | SETTABLE_ANYWHERE
        )
    ]
    assert not found, _listed(found)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(x):\n    return x._hidden", "private _hidden"),
        ("def f(x):\n    return getattr(x, '_hidden', 1)", "private _hidden"),
        ("def f(self):\n    return self._hidden", "private _hidden"),
        ("def f(x):\n    return x._replace(a=1), x.__len__()", ""),
        ("def f(x):\n    x.seen = 1", "assignment seen"),
        ("def f(x):\n    x.seen += 1", "assignment seen"),
        ("def f(x):\n    del x.seen", "assignment seen"),
        ("def f(x):\n    for x.seen in 'ab': pass", "assignment seen"),
        ("def f(x, n):\n    setattr(x, n, 1)", "assignment ?"),
        (
            "def f(x):\n    object.__setattr__(x, 'seen', 1)",
            "assignment seen",
        ),
        ("def f(m):\n    m.patch.object(f, '_hidden')", "private _hidden"),
        ("class A:\n    def f(self):\n        self._mine = 1", ""),
        (
            "class A:\n    def f(self):\n        self.part.seen = 1",
            "assignment seen",
        ),
        ("class A:\n    @classmethod\n    def f(cls):\n        cls._x = 1", ""),
        (
            "class A:\n    @staticmethod\n    def f(a):\n        a._x",
            "private _x",
        ),
        (
            "class A:\n    def f(self):\n        def g():\n"
            "            return self._mine\n        return g",
            "",
        ),
        (
            "class A:\n    def f(self):\n        return lambda self: self._x",
            "private _x",
        ),
        (
            "import keras\nclass A(keras.layers.Layer):\n    def f(self):\n"
            "        return self._layers, self._mine",
            "keras _layers",
        ),
        (
            "from keras import layers\nclass A(layers.Dense):\n    pass\n"
            "class B(A):\n    def f(self):\n        super()._flatten_layers()",
            "keras _flatten_layers",
        ),
        (
            "import keras\nclass A(keras.Model):\n"
            "    def _make_function(self, step):\n        pass",
            "keras _make_function",
        ),
        ("from keras.src import ops", "import keras.src.ops"),
        ("from a import _b", "import a._b"),
        (
            "import importlib\nimportlib.import_module('tensorflow.python')",
            "import tensorflow.python",
        ),
    ],
)
def test_walk_of_the_syntax_tree(code, expected):
    tree = ast.parse(code)
    classes = private_names.Classes([tree])
    found = private_names.Walk("a.py", tree, classes).findings
    assert "; ".join(f"{f.kind} {f.name}" for f in found) == expected


def count_lines(files):
    return sum(
        len(file.read_text(encoding="utf-8").splitlines()) for file in files
    )


def test_size_of_the_package():
    files = package_files()
    assert len(files) <= MOST_FILES
    assert count_lines(files) <= MOST_LINES


def test_size_of_the_build_files():
    files = [
        file
        for tree in (".", "examples", "tests", "tools", PACKAGE)
        for pattern in ("BUILD", "*.bzl")
        for file in (ROOT / tree).glob(
            pattern if tree == "." else f"**/{pattern}"
        )
    ]
    files.append(ROOT / "tests" / "build_files_test.py")
    assert count_lines(files) <= MOST_BUILD_LINES


def test_modules_at_the_top():
    modules = sorted(file.name for file in (ROOT / PACKAGE).glob("*.py"))
    assert len(modules) <= MOST_MODULES, modules


def test_size_of_the_model():
    file = ROOT / PACKAGE / "continual_model.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    (model,) = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "ContinualModel"
    ]
    assert [ast.unparse(base) for base in model.bases] == ["keras.Model"]
    assert model.end_lineno - model.lineno + 1 <= MOST_MODEL_LINES
    methods = [node for node in model.body if isinstance(node, ast.FunctionDef)]
    assert len(methods) <= MOST_MODEL_METHODS


def _listed(found):
    return "\n".join([*map(str, found), f"{len(found)} in all"])
