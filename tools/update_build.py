"""Brings the BUILD files up to date with the Python files beside them.

Run from the root of a checkout:

    python -m tools.update_build

Every Python file below `tsn_keras`, `examples` and `tests` gets a target whose
dependencies are what the file imports, inside functions too. Attributes set by
hand (size, tags, data, ...) are kept. The BUILD files of the root and of
`tools` are written by hand.
"""

import ast
import dataclasses
import pathlib
import sys

from absl import app, flags

_ROOT = flags.DEFINE_string(
    "root",
    str(pathlib.Path(__file__).resolve().parent.parent),
    "The checkout whose BUILD files are written.",
)

TREES = ("examples", "tests", "tsn_keras")

# What is imported, and what PyPI calls it.
REQUIREMENTS = {
    "absl": "absl-py",
    "ai_edge_litert": "ai-edge-litert",
    "constriction": "constriction",
    "flatbuffers": "flatbuffers",
    "h5py": "h5py",
    "keras": "keras",
    "kmeans1d": "kmeans1d",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "pytest": "pytest",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
    "tensorflow_datasets": "tensorflow-datasets",
    "tensorflow_model_optimization": "tensorflow-model-optimization",
}

# What a wheel needs at run time and does not declare.
UNDECLARED = {
    "keras": ["tensorflow"],
    "tensorflow-datasets": ["importlib_resources", "tensorflow"],
    "tensorflow-model-optimization": ["tensorflow"],
}

LOADS = {
    "@pip//:requirements.bzl": ["requirement"],
    "@rules_python//python:defs.bzl": ["py_binary", "py_library"],
    "//tools:pytest.bzl": ["py_test"],
}


@dataclasses.dataclass
class Target:
    """One Python file, its path relative to the root, and its rule."""

    path: pathlib.Path
    tree: ast.Module
    name: str
    rule: str

    @property
    def package(self):
        return self.path.parent.as_posix()

    def label(self, package):
        """The target's label, as short as `package` allows."""
        if package == self.package:
            return f":{self.name}"
        if self.name == self.path.parent.name:
            return f"//{self.package}"
        return f"//{self.package}:{self.name}"


def find_targets(root):
    """All targets of a checkout, by the dotted name of their modules."""
    targets = {}
    for top in TREES:
        for file in sorted((root / top).rglob("*.py")):
            path = file.relative_to(root)
            tree = ast.parse(file.read_text(encoding="utf-8"), str(path))
            parts = path.with_suffix("").parts
            if path.name == "__init__.py":
                parts = parts[:-1]
                name = parts[-1]
            elif path.stem == path.parent.name:
                # The package itself goes by the name of its directory.
                name = f"{path.stem}_lib"
            else:
                name = path.stem
            target = Target(path, tree, name, rule(path, tree))
            targets[".".join(parts)] = target
    return targets


def rule(path, tree):
    """The rule that builds a Python file."""
    if path.name.endswith("_test.py"):
        return "py_test"
    for node in tree.body:
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            return "py_binary"
    return "py_library"


def imported_names(target):
    """Dotted names that a file imports; for `from a import b`, `a.b`."""
    for node in ast.walk(target.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{target.path} has a relative import.")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def dependencies(target, targets):
    """Sorted labels and sorted PyPI names that a file depends on."""
    labels, requirements = set(), set()
    for name in imported_names(target):
        top = name.partition(".")[0]
        if top in TREES:
            # The last part may be a name inside the module.
            module = name if name in targets else name.rpartition(".")[0]
            if module not in targets:
                raise ValueError(
                    f"{target.path} imports {name}, which does not exist. "
                    "Write the module first."
                )
            labels.add(targets[module].label(target.package))
        elif top in REQUIREMENTS:
            requirements.add(REQUIREMENTS[top])
        elif top not in sys.stdlib_module_names:
            raise ValueError(
                f"{target.path} imports {top}, which is not known. Add it to "
                "REQUIREMENTS in tools/update_build.py and to setup.py."
            )
    if target.rule == "py_test":
        labels |= fixtures(target, targets)
    for name in list(requirements):
        requirements.update(UNDECLARED.get(name, []))
    labels.discard(target.label(target.package))
    return sorted(labels, key=label_order), sorted(requirements)


def fixtures(target, targets):
    """Labels of the conftest.py files that pytest loads for a test."""
    names = [".".join([*d.parts, "conftest"]) for d in target.path.parents]
    return {targets[n].label(target.package) for n in names if n in targets}


def label_order(label):
    """The order that buildifier gives labels."""
    return not label.startswith(":"), label.replace(":", ".").split("."), label


def attributes_by_hand(file):
    """Source of the attributes that were set by hand, by target."""
    if not file.exists():
        return {}
    source = file.read_text(encoding="utf-8")
    kept = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found = {
                k.arg: ast.get_source_segment(source, k.value)
                for k in node.keywords
            }
            name = found.pop("name", "").strip('"')
            found.pop("srcs", None)
            found.pop("deps", None)
            kept[name] = found
    return kept


def render_list(items):
    """A list as buildifier writes it."""
    if len(items) == 1:
        return f"[{items[0]}]"
    return "[\n" + "".join(f"        {item},\n" for item in items) + "    ]"


def render_target(target, targets, by_hand):
    """The call of a rule."""
    labels, requirements = dependencies(target, targets)
    attributes = dict(by_hand)
    if target.rule == "py_test":
        attributes.setdefault("size", '"medium"')
    elif target.package.split("/")[0] == "tests":
        attributes["testonly"] = "True"
    first = ["size", "timeout", "testonly"]
    rest = sorted(set(attributes) - set(first))
    lines = [f'name = "{target.name}"']
    lines += [f"{x} = {attributes[x]}" for x in first if x in attributes]
    lines += [f'srcs = ["{target.path.name}"]']
    lines += [f"{x} = {attributes[x]}" for x in rest]
    deps = [f'"{label}"' for label in labels]
    deps += [f'requirement("{name}")' for name in requirements]
    if deps:
        lines += [f"deps = {render_list(deps)}"]
    return f"{target.rule}(\n" + "".join(f"    {x},\n" for x in lines) + ")\n"


def render_package(package, targets, file):
    """The text of one BUILD file."""
    by_hand = attributes_by_hand(file)
    here = [t for t in targets.values() if t.package == package]
    here.sort(key=lambda t: (t.path.name != "__init__.py", t.name))
    calls = [render_target(t, targets, by_hand.get(t.name, {})) for t in here]
    used = {t.rule for t in here}
    if any("requirement(" in call for call in calls):
        used.add("requirement")
    loads = []
    for source, symbols in LOADS.items():
        names = [f'"{name}"' for name in symbols if name in used]
        if names:
            loads.append(f'load("{source}", {", ".join(names)})\n')
    public = package.split("/")[0] == "tsn_keras"
    visibility = "//visibility:public" if public else "//:__subpackages__"
    return "\n".join(
        [
            "".join(loads),
            f'package(default_visibility = ["{visibility}"])\n',
            'licenses(["notice"])  # Apache 2.0\n',
            *calls,
        ]
    )


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"Unknown arguments: {argv[1:]}")
    root = pathlib.Path(_ROOT.value)
    targets = find_targets(root)
    for package in sorted({t.package for t in targets.values()}):
        file = root / package / "BUILD"
        text = render_package(package, targets, file)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(file.relative_to(root))


if __name__ == "__main__":
    app.run(main)
