"""Guides, written as Python files, as pages of the site and as notebooks.

A guide is a docstring with its title and two lines, then code, with Markdown
in strings that stand alone between it.
"""

import ast
import dataclasses
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "guides"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A part of a guide: Markdown, or code."""

    kind: str
    text: str


@dataclasses.dataclass(frozen=True)
class Guide:
    """A guide's parts.

    Args:
        name: the file's name without its ending.
        title: the first line of the docstring.
        lead: the rest of the docstring.
    """

    name: str
    title: str
    lead: str
    cells: tuple[Cell, ...]

    @classmethod
    def read(cls, path: pathlib.Path) -> "Guide":
        """Reads a guide from its Python file."""
        text = path.read_text(encoding="utf-8")
        first, *cells = _cells(text)
        title, _, lead = first.text.partition("\n")
        if first.kind != "markdown":
            raise ValueError(f"{path} does not begin with a docstring")
        title = title.removeprefix("#").removeprefix("Title:").strip(" .")
        return cls(path.stem, title, lead.strip(), tuple(cells))

    def page(self) -> str:
        """Returns the guide as a Markdown page."""
        links = (
            f"[Python file]({self.name}.py){{ download }} · "
            f"[notebook]({self.name}.ipynb){{ download }}"
        )
        parts = [f"# {self.title}", self.lead, links]
        for cell in self.cells:
            code = cell.kind == "code"
            parts.append(
                f"```python\n{cell.text}\n```" if code else cell.text
            )
        return "\n\n".join(parts) + "\n"

    def notebook(self) -> str:
        """Returns the guide as a Jupyter notebook, format 4.5."""
        head = Cell("markdown", f"# {self.title}\n\n{self.lead}".strip())
        return json.dumps(
            {
                "cells": [
                    _notebook_cell(number, cell)
                    for number, cell in enumerate((head, *self.cells))
                ],
                "metadata": {"language_info": {"name": "python"}},
                "nbformat": 4,
                "nbformat_minor": 5,
            },
            indent=1,
        )


def all_guides(folder: pathlib.Path = FOLDER) -> list[Guide]:
    """Returns the guides of a folder, in the order of their names."""
    return [Guide.read(path) for path in sorted(folder.glob("*.py"))]


def with_constants(source: str, values: dict[str, object]) -> str:
    """Returns a guide's source with other values of constants in CAPITALS.

    Names that the guide does not define are left out.
    """
    for name, value in values.items():
        source = re.sub(
            rf"^{name} = .*$", f"{name} = {value!r}", source, flags=re.M
        )
    return source


def _cells(source):
    """Yields the parts of a guide, in order."""
    lines = source.splitlines()
    done = 0
    for node in ast.parse(source).body:
        constant = isinstance(node, ast.Expr) and isinstance(
            node.value, ast.Constant
        )
        if constant and isinstance(node.value.value, str):
            yield from _code(lines[done : node.lineno - 1])
            yield Cell("markdown", node.value.value.strip())
            done = node.end_lineno
    yield from _code(lines[done:])


def _code(lines):
    if text := "\n".join(lines).strip("\n"):
        yield Cell("code", text)


def _notebook_cell(number, cell):
    made = {
        "cell_type": cell.kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": cell.text.splitlines(keepends=True),
    }
    if cell.kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made
