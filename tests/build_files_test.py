"""The BUILD files list what is there, all of it and nothing else.

The checker shares no code with `tools/update_build.py`, which writes them.
"""

import ast
import collections
import functools
import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
TREES = ["examples", "tests", "tools", "tsn_keras"]
BUILT_IN = {"alias", "exports_files", "licenses", "load", "package"}

# Needed at run time by what is imported, though not imported itself.
COMPANIONS = {
    "keras": {"tensorflow"},
    "tensorflow_datasets": {"importlib_resources", "tensorflow"},
    "tensorflow_model_optimization": {"tensorflow"},
}

Target = collections.namedtuple("Target", "rule srcs labels requirements")


def normalized(distribution):
    return re.sub(r"[-_.]+", "_", distribution).lower()


def absolute(label, package):
    """A label in its full form, `//package:name`."""
    if label.startswith(":"):
        return f"//{package}{label}"
    if ":" in label:
        return label
    return f"{label}:{label.rpartition('/')[2]}"


def read_build(file, package):
    """Targets of a BUILD file by label, and the names it fails to load."""
    targets, loaded, called = {}, set(BUILT_IN), set()
    for statement in ast.parse(file.read_text(encoding="utf-8")).body:
        call = statement.value
        called.add(call.func.id)
        if call.func.id == "load":
            loaded.update(argument.value for argument in call.args[1:])
            continue
        attributes = {k.arg: k.value for k in call.keywords}
        if "name" not in attributes:
            continue
        labels, requirements = [], []
        for dep in getattr(attributes.get("deps"), "elts", []):
            if isinstance(dep, ast.Constant):
                labels.append(absolute(dep.value, package))
            else:
                called.add(dep.func.id)
                requirements.append(normalized(dep.args[0].value))
        if "actual" in attributes:
            labels.append(absolute(attributes["actual"].value, package))
        label = absolute(f":{attributes['name'].value}", package)
        srcs = getattr(attributes.get("srcs"), "elts", [])
        srcs = [f"{package}/{src.value}" for src in srcs]
        targets[label] = Target(call.func.id, srcs, labels, requirements)
    return targets, called - loaded


def imports(file):
    """Pairs of a module and the name taken from it, or None."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, None
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            for alias in node.names:
                yield node.module, alias.name


def module_file(root, *names):
    """Path of a module's file relative to the root; None if there is none."""
    stem = "/".join(names).replace(".", "/")
    for path in (f"{stem}.py", f"{stem}/__init__.py"):
        if (root / path).exists():
            return path
    return None


@functools.cache
def distributions():
    found = importlib.metadata.packages_distributions()
    return {name: set(map(normalized, found[name])) for name in found}


def declared(root):
    """Distributions that setup.py names."""
    source = (root / "setup.py").read_text(encoding="utf-8")
    strings = [
        element.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.List)
        for element in node.elts
        if isinstance(element, ast.Constant)
    ]
    return {normalized(re.split(r"[<>=!~\[; ]", s)[0]) for s in strings}


def file_problems(root, path, target, owner):
    """What a target lacks, and has too much, for the file it builds."""
    needed, allowed, external = set(), set(), []
    for module, name in imports(root / path):
        top = module.partition(".")[0]
        if top in TREES:
            found = name and module_file(root, module, name)
            found = found or module_file(root, module)
            if found is None:
                yield f"{path} imports {module}, which does not exist"
            elif found != path and found in owner:
                needed.add(owner[found])
        elif top not in sys.stdlib_module_names:
            external.append(top)
    if target.rule == "py_test":
        for directory in pathlib.PurePath(path).parents:
            conftest = f"{directory}/conftest.py"
            if conftest in owner:
                needed.add(owner[conftest])
    for label in sorted(needed - set(target.labels)):
        yield f"{path} needs {label}"
    for label in sorted(set(target.labels) - needed):
        yield f"{path} does not need {label}"
    for top in external:
        choices = distributions().get(top, {normalized(top)})
        if not choices & set(target.requirements):
            yield f"{path} needs the requirement for {top}"
        allowed |= choices | COMPANIONS.get(top, set())
    for requirement in sorted(set(target.requirements) - allowed):
        yield f"{path} does not need the requirement {requirement}"


def find_cycle(targets):
    """Labels of one circle of dependencies; empty if there is none."""
    finished = set()

    def visit(label, trail):
        if label in trail:
            return trail[trail.index(label) :] + [label]
        if label in finished or label not in targets:
            return []
        for dep in targets[label].labels:
            if cycle := visit(dep, trail + [label]):
                return cycle
        finished.add(label)
        return []

    for label in targets:
        if cycle := visit(label, []):
            return cycle
    return []


def problems(root):
    """All that is wrong with the BUILD files of a checkout, as sentences."""
    found, targets, owner = [], {}, {}
    for file in [root / "BUILD"] + [
        file for tree in TREES for file in sorted((root / tree).rglob("BUILD"))
    ]:
        package = file.parent.relative_to(root).as_posix()
        package = "" if package == "." else package
        here, unknown = read_build(file, package)
        targets.update(here)
        found += [f"//{package} does not load {x}" for x in sorted(unknown)]
    for label, target in targets.items():
        for src in target.srcs:
            if not (root / src).exists():
                found.append(f"{label} lists {src}, which does not exist")
            if src in owner:
                found.append(f"{label} and {owner[src]} both list {src}")
            owner[src] = label
        for dep in target.labels:
            if dep not in targets:
                found.append(f"{label} names {dep}, which does not exist")
        for requirement in sorted(set(target.requirements) - declared(root)):
            found.append(f"{label} names {requirement}, not in setup.py")
    for tree in TREES:
        for file in sorted((root / tree).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if path not in owner:
                found.append(f"no target lists {path}")
                continue
            target = targets[owner[path]]
            if path.endswith("_test.py") and target.rule != "py_test":
                found.append(f"{path} is no py_test")
            if file.name == "__init__.py":
                label = absolute(f"//{file.parent.relative_to(root)}", "")
                if owner[path] != label:
                    found.append(f"{path} is {owner[path]}, not {label}")
            found += file_problems(root, path, target, owner)
    if cycle := find_cycle(targets):
        found.append(f"dependencies go round: {' -> '.join(cycle)}")
    return found


SMALL_TREE = {
    "setup.py": 'REQUIRED = ["absl-py", "keras>=3", "numpy", "tensorflow"]\n',
    "BUILD": 'alias(name = "tsn_keras", actual = "//tsn_keras")\n',
    "tsn_keras/__init__.py": "from tsn_keras.bank import packing\n",
    "tsn_keras/BUILD": """\
load("@rules_python//python:defs.bzl", "py_library")

package(default_visibility = ["//visibility:public"])

licenses(["notice"])  # Apache 2.0

py_library(
    name = "tsn_keras",
    srcs = ["__init__.py"],
    deps = ["//tsn_keras/bank:packing"],
)
""",
    "tsn_keras/bank/__init__.py": "from tsn_keras.bank.packing import pack\n",
    "tsn_keras/bank/bank.py": "from tsn_keras.bank.packing import pack\n",
    "tsn_keras/bank/packing.py": (
        "import sys\n\n\n"
        "def pack(x):\n    import numpy as np\n\n    return np.packbits(x)\n"
    ),
    "tsn_keras/bank/BUILD": """\
load("@pip//:requirements.bzl", "requirement")
load("@rules_python//python:defs.bzl", "py_library")

package(default_visibility = ["//visibility:public"])

licenses(["notice"])  # Apache 2.0

py_library(
    name = "bank",
    srcs = ["__init__.py"],
    deps = [":packing"],
)

py_library(
    name = "bank_lib",
    srcs = ["bank.py"],
    deps = [":packing"],
)

py_library(
    name = "packing",
    srcs = ["packing.py"],
    deps = [requirement("numpy")],
)
""",
    "examples/run.py": (
        "import keras\nfrom absl import app\n\nimport tsn_keras\n\n"
        'if __name__ == "__main__":\n    app.run(print)\n'
    ),
    "examples/BUILD": """\
load("@pip//:requirements.bzl", "requirement")
load("@rules_python//python:defs.bzl", "py_binary")

package(default_visibility = ["//:__subpackages__"])

licenses(["notice"])  # Apache 2.0

py_binary(
    name = "run",
    srcs = ["run.py"],
    deps = [
        "//tsn_keras",
        requirement("absl-py"),
        requirement("keras"),
        requirement("tensorflow"),
    ],
)
""",
    "tests/conftest.py": "import tsn_keras.bank\n",
    "tests/BUILD": """\
load("@rules_python//python:defs.bzl", "py_library")

package(default_visibility = ["//:__subpackages__"])

licenses(["notice"])  # Apache 2.0

py_library(
    name = "conftest",
    testonly = True,
    srcs = ["conftest.py"],
    deps = ["//tsn_keras/bank"],
)
""",
    "tests/bank/packing_test.py": (
        "from tsn_keras.bank import packing\n"
        "from tsn_keras.bank.bank import pack\n"
    ),
    "tests/bank/BUILD": """\
load("//tools:pytest.bzl", "py_test")

package(default_visibility = ["//:__subpackages__"])

licenses(["notice"])  # Apache 2.0

py_test(
    name = "packing_test",
    size = "small",
    srcs = ["packing_test.py"],
    tags = [
        "manual",
        "no_windows",
    ],
    deps = [
        "//tests:conftest",
        "//tsn_keras/bank:bank_lib",
        "//tsn_keras/bank:packing",
    ],
)
""",
}


@pytest.fixture
def small_tree(tmp_path):
    """A checkout in which all is well."""
    for path, text in SMALL_TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def replace(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def remove_target(file, name):
    text = file.read_text(encoding="utf-8")
    kept = re.sub(
        rf'\npy_\w+\(\n    name = "{name}",\n.*?\n\)\n', "", text, 1, re.S
    )
    assert kept != text
    file.write_text(kept, encoding="utf-8")


def test_build_files_of_this_checkout():
    found = problems(ROOT)
    advice = "Run python -m tools.update_build."
    assert not found, "\n".join([*found, advice])


def test_nothing_wrong_with_the_small_tree(small_tree):
    assert problems(small_tree) == []


@pytest.mark.parametrize(
    ("build", "name", "expected"),
    [
        (
            "tsn_keras/bank/BUILD",
            "packing",
            "no target lists tsn_keras/bank/packing.py",
        ),
        (
            "tests/bank/BUILD",
            "packing_test",
            "no target lists tests/bank/packing_test.py",
        ),
        ("examples/BUILD", "run", "no target lists examples/run.py"),
    ],
)
def test_missing_target_is_found(small_tree, build, name, expected):
    remove_target(small_tree / build, name)
    assert expected in problems(small_tree)


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "tests/bank/BUILD",
            '        "//tsn_keras/bank:packing",\n',
            "",
            "tests/bank/packing_test.py needs //tsn_keras/bank:packing",
        ),
        (
            "tests/bank/BUILD",
            '        "//tests:conftest",\n',
            "",
            "tests/bank/packing_test.py needs //tests:conftest",
        ),
        (
            "tsn_keras/bank/BUILD",
            '    deps = [requirement("numpy")],\n',
            "",
            "tsn_keras/bank/packing.py needs the requirement for numpy",
        ),
        (
            "examples/BUILD",
            'requirement("absl-py")',
            'requirement("pandas")',
            "//examples:run names pandas, not in setup.py",
        ),
        (
            "examples/BUILD",
            'requirement("absl-py")',
            'requirement("numpy")',
            "examples/run.py does not need the requirement numpy",
        ),
        (
            "examples/BUILD",
            '"//tsn_keras",',
            '"//tsn_keras",\n        "//tsn_keras/bank",',
            "examples/run.py does not need //tsn_keras/bank:bank",
        ),
        (
            "examples/BUILD",
            '"//tsn_keras",',
            '"//tsn_keras:gone",',
            "//examples:run names //tsn_keras:gone, which does not exist",
        ),
        (
            "tsn_keras/bank/BUILD",
            'srcs = ["packing.py"]',
            'srcs = ["gone.py"]',
            "//tsn_keras/bank:packing lists tsn_keras/bank/gone.py, "
            "which does not exist",
        ),
        (
            "tests/bank/BUILD",
            "py_test(",
            "py_library(",
            "tests/bank/packing_test.py is no py_test",
        ),
        (
            "examples/BUILD",
            'load("@pip//:requirements.bzl", "requirement")\n',
            "",
            "//examples does not load requirement",
        ),
        (
            "tsn_keras/bank/BUILD",
            'deps = [requirement("numpy")]',
            'deps = [":bank"]',
            "dependencies go round: //tsn_keras/bank:packing -> "
            "//tsn_keras/bank:bank -> //tsn_keras/bank:packing",
        ),
        (
            "tsn_keras/bank/packing.py",
            "import sys",
            "import tsn_keras.gone",
            "tsn_keras/bank/packing.py imports tsn_keras.gone, "
            "which does not exist",
        ),
    ],
)
def test_wrong_entry_is_found(small_tree, file, old, new, expected):
    replace(small_tree / file, old, new)
    assert expected in problems(small_tree)


def update(root):
    return subprocess.run(
        [sys.executable, "-m", "tools.update_build", f"--root={root}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


def test_update_leaves_what_is_up_to_date(small_tree):
    assert update(small_tree) == []


def test_update_repairs(small_tree):
    remove_target(small_tree / "tsn_keras/bank/BUILD", "packing")
    replace(small_tree / "tests/bank/BUILD", "//tests:conftest", "//gone")
    (small_tree / "tests/BUILD").unlink()
    assert update(small_tree) == [
        "tests/BUILD",
        "tests/bank/BUILD",
        "tsn_keras/bank/BUILD",
    ]
    for path, text in SMALL_TREE.items():
        assert (small_tree / path).read_text(encoding="utf-8") == text
