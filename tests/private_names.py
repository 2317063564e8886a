"""Finds code that reaches into objects: what `architecture_test.py` forbids.

Works on syntax trees, so nothing is imported but Keras, for its names.
"""

import ast
import dataclasses
import functools
import inspect
import pathlib
import re
from collections.abc import Iterable

import keras

UNOFFICIAL = re.compile(
    r"(keras\.(src|_tf_keras)"
    r"|tensorflow\.(python|core|compiler|lite\.(python|tools))"
    r"|tensorflow_model_optimization\.python)(\.|$)"
)
# Documented methods of named tuples, and what notebooks ask for.
PUBLIC = {"_asdict", "_fields", "_make", "_replace", "_repr_html_"}
# Functions that take the name of an attribute.
BY_NAME = {"attrgetter", "delattr", "getattr", "hasattr", "methodcaller"} | {
    "object",  # mock.patch.object
    "patch",
    "setattr",
    "__delattr__",
    "__getattribute__",
    "__setattr__",
}
SETTERS = {"delattr", "setattr", "__delattr__", "__setattr__"}


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """A place in the code and what is wrong with it.

    Args:
        kind: `assignment` to an attribute of another object, `private` name
            of another object, `keras` for a private name that comes from a
            base class of Keras, `import` of an unofficial module or a private
            name.
        name: The attribute or the module.
    """

    path: str
    line: int
    kind: str
    name: str
    code: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.code}"


def is_private(name: str) -> bool:
    return (
        name.startswith("_")
        and not name.startswith("__")
        and name.strip("_") != ""
        and name not in PUBLIC
    )


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Returns the full dotted name of each name that a file imports."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = (
                    f"{node.module}.{alias.name}"
                )
    return names


@functools.cache
def private_names_of_keras(dotted: str) -> frozenset[str]:
    """Returns the private names that a class of Keras has or assigns."""
    found = functools.reduce(getattr, dotted.split(".")[1:], keras)
    names = set()
    if not isinstance(found, type):
        return frozenset()
    for base in found.__mro__:
        names.update(vars(base))
        if base.__module__.startswith("keras."):
            names.update(re.findall(r"\bself\.(_\w+)", inspect.getsource(base)))
    return frozenset(filter(is_private, names))


class Classes:
    """The classes of several files, and what they inherit from Keras."""

    def __init__(self, trees: Iterable[ast.AST]):
        self._bases = {}
        for tree in trees:
            names = imported_names(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    bases = [_dotted(base, names) for base in node.bases]
                    self._bases.setdefault(node.name, []).extend(bases)

    def private_of_keras(self, name: str) -> frozenset[str]:
        """Returns the private names that a class has from Keras."""
        found, seen, waiting = set(), set(), [name]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name.startswith("keras."):
                found |= private_names_of_keras(name)
            waiting += self._bases.get(name.rpartition(".")[2], [])
        return frozenset(found)


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    first, *rest = ast.unparse(node).split(".")
    return ".".join([names.get(first, first), *rest])


class Walk(ast.NodeVisitor):
    """Goes through one file and notes what reaches into other objects.

    An object's own name is the first argument of a method, also in functions
    inside the method that have no argument of that name.
    """

    def __init__(self, path: str, tree: ast.AST, classes: Classes):
        self.path = path
        self.findings = []
        self._classes = classes
        self._own = frozenset()
        self._of_keras = frozenset()
        self._in_class = False
        self.visit(tree)

    def _note(self, node, kind, name):
        code = ast.unparse(node).partition("\n")[0]
        self.findings.append(Finding(self.path, node.lineno, kind, name, code))

    def visit_ClassDef(self, node):
        before = self._own, self._of_keras, self._in_class
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self._of_keras = self._classes.private_of_keras(node.name)
        self._in_class = True
        for statement in node.body:
            self.visit(statement)
            for name in _defined(statement):
                if name in self._of_keras:
                    self._note(statement, "keras", name)
        self._own, self._of_keras, self._in_class = before

    def visit_FunctionDef(self, node):
        before = self._own, self._in_class
        for decorator in node.decorator_list:
            self.visit(decorator)
        arguments = node.args
        parameters = [*arguments.posonlyargs, *arguments.args]
        names = {p.arg for p in (*parameters, *arguments.kwonlyargs)}
        static = any(
            ast.unparse(d) == "staticmethod" for d in node.decorator_list
        )
        if not self._in_class:
            self._own -= names
        elif parameters and not static:
            self._own = frozenset([parameters[0].arg])
        else:
            self._own = frozenset()
        self._in_class = False
        self.visit(arguments)
        for statement in node.body:
            self.visit(statement)
        self._own, self._in_class = before

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        before = self._own
        self._own -= {argument.arg for argument in node.args.args}
        self.generic_visit(node)
        self._own = before

    def _is_own(self, node):
        return isinstance(node, ast.Name) and node.id in self._own

    def visit_Attribute(self, node):
        own = self._is_own(node.value)
        is_super = (
            isinstance(node.value, ast.Call)
            and ast.unparse(node.value.func) == "super"
        )
        if node.attr in self._of_keras and (own or is_super):
            self._note(node, "keras", node.attr)
        elif is_private(node.attr) and not own and not is_super:
            self._note(node, "private", node.attr)
        elif node.attr == "__dict__" and not own:
            self._note(node, "private", node.attr)
        if isinstance(node.ctx, (ast.Store, ast.Del)) and not own:
            self._note(node, "assignment", node.attr)
        self.generic_visit(node)

    def visit_Call(self, node):
        function = ast.unparse(node.func).rpartition(".")[2]
        if function in BY_NAME:
            self._check_call(node, function)
        if function in ("import_module", "__import__"):
            for name in _strings(node):
                self._check_module(node, name)
        self.generic_visit(node)

    def _check_call(self, node, function):
        own = bool(node.args) and self._is_own(node.args[0])
        is_super = ast.unparse(node.func).startswith("super()")
        for text in _strings(node):
            name = text.rpartition(".")[2]
            if own and name in self._of_keras:
                self._note(node, "keras", name)
            elif not own and is_private(name):
                self._note(node, "private", name)
        if function in SETTERS and not own and not is_super:
            self._note(node, "assignment", next(_strings(node), "?"))

    def visit_Import(self, node):
        for alias in node.names:
            self._check_module(node, alias.name)

    def visit_ImportFrom(self, node):
        for alias in node.names:
            self._check_module(node, f"{node.module}.{alias.name}")
            if is_private(alias.name):
                self._note(node, "import", f"{node.module}.{alias.name}")

    def _check_module(self, node, name):
        if UNOFFICIAL.match(name):
            self._note(node, "import", name)


def _defined(statement):
    """Yields the names that a statement of a class's body gives to it."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield statement.name
    for target in getattr(statement, "targets", []):
        if isinstance(target, ast.Name):
            yield target.id


def _strings(call):
    for argument in call.args[:3]:
        if isinstance(argument, ast.Constant) and isinstance(
            argument.value, str
        ):
            yield argument.value


def findings(root: pathlib.Path, trees: Iterable[str]) -> list[Finding]:
    """Returns what all Python files of some folders do wrong.

    Args:
        root: The folder of the checkout.
        trees: Its folders to look at. Classes of all of them are known.
    """
    parsed = {
        file.relative_to(root).as_posix(): ast.parse(
            file.read_text(encoding="utf-8")
        )
        for tree in trees
        for file in sorted((root / tree).rglob("*.py"))
    }
    classes = Classes(parsed.values())
    return [
        finding
        for path, tree in parsed.items()
        for finding in Walk(path, tree, classes).findings
    ]
