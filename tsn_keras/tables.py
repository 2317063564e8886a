"""Tables of results, as text, as HTML, as CSV and as a DataFrame."""

import abc
import csv
import dataclasses
import html
import io
import os
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from tsn_keras.files import complete_file

# Longer tables are shown without the rows in the middle.
MOST_ROWS = 60
ELLIPSIS = "…"


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: its name, and how its numbers are written.

    Args:
        form: As `format` takes it, such as `".1%"`. CSV and DataFrames have
            the numbers as they are.
    """

    name: str
    form: str = ""

    def cell(self, value: Any) -> str:
        """Returns how a value is shown; nothing for `None`."""
        if value is None:
            return ""
        return format(value, self.form) if _is_number(value) else str(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under a header, with a title above and notes below.

    All texts are data: no name can be taken for markup.

    Args:
        rows: One value for each column; `None` is an empty cell.

    Example:

    >>> columns = [Column("task"), Column("sparsity", ".1%")]
    >>> print(Table(columns, [("cats", 0.9), ("dogs", 0.875)], "Two tasks"))
    Two tasks
    task  sparsity
    cats     90.0%
    dogs     87.5%
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    notes: Sequence[str] = ()

    def labelled(self, **labels: Any) -> "Table":
        """Returns the table with columns before it that never change."""
        return dataclasses.replace(
            self,
            columns=[*map(Column, labels), *self.columns],
            rows=[[*labels.values(), *row] for row in self.rows],
        )

    def __str__(self) -> str:
        cells = [[printable(c) for c in row] for row in self._cells()]
        header = [printable(column.name) for column in self.columns]
        widths = [max(map(text_width, each)) for each in zip(header, *cells)]
        lines = [printable(self.title)] if self.title else []
        if self.columns:
            lines += [aligned(r, widths, self._right) for r in (header, *cells)]
        return "\n".join([*lines, *map(printable, self.notes)])

    def to_html(
        self,
        style: Callable[[Any], str] | None = None,
        most_rows: int = MOST_ROWS,
    ) -> str:
        """Returns an HTML table.

        Args:
            style: Returns the CSS of a cell for its value.
            most_rows: Of more rows those in the middle are left out.
        """
        right = ["text-align:right" if r else "" for r in self._right]
        head = "".join(
            f'<th scope="col"{_style(css)}>{escaped(column.name)}</th>'
            for column, css in zip(self.columns, right)
        )
        parts = ["<table>"]
        if self.title:
            parts.append(f"<caption>{escaped(self.title)}</caption>")
        parts.append(f"<thead><tr>{head}</tr></thead><tbody>")
        rows = _ends(self.rows, most_rows)
        for row, cells in zip(rows, self._cells(most_rows)):
            styles = [
                ";".join(filter(None, [css, style(value) if style else ""]))
                for css, value in zip(right, row or cells)
            ]
            parts.append("<tr>")
            parts += [
                f"<td{_style(css)}>{escaped(cell)}</td>"
                for css, cell in zip(styles, cells)
            ]
            parts.append("</tr>")
        parts.append("</tbody></table>")
        parts += [f"<p>{escaped(note)}</p>" for note in self.notes]
        return "".join(parts)

    def to_csv(self, path: str | os.PathLike | None = None) -> str | None:
        """Writes CSV to a file, or returns it if there is no path.

        Texts are in quotes, numbers are not and have all their digits.
        """
        if not isinstance(path, (str, os.PathLike, type(None))):
            raise TypeError(
                "`path` must be a path, as str or pathlib.Path, or None. "
                f"Received: path={path!r} (of type {type(path).__name__})"
            )
        file = io.StringIO(newline="")
        writer = csv.writer(
            file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"
        )
        writer.writerow([column.name for column in self.columns])
        writer.writerows(map(_plain, self.rows))
        if path is None:
            return file.getvalue()
        with complete_file(path) as unfinished:
            data = file.getvalue().encode("utf-8", "backslashreplace")
            unfinished.write_bytes(data)
        return None

    def to_dataframe(self) -> Any:
        """Returns a `pandas.DataFrame`."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "`to_dataframe` needs pandas. Install it with `pip install "
                "pandas`, or use `to_csv` or `to_dict`."
            ) from error
        names = [column.name for column in self.columns]
        rows = [_plain(row) for row in self.rows]
        return pandas.DataFrame(rows, columns=names)

    @property
    def _right(self) -> list[bool]:
        """Which columns stand at the right: those of numbers."""
        return [
            bool(self.rows)
            and all(row[i] is None or _is_number(row[i]) for row in self.rows)
            for i in range(len(self.columns))
        ]

    def _cells(self, most_rows: int = MOST_ROWS) -> list[list[str]]:
        """The cells that are shown, of which some rows may be left out."""
        return [
            [ELLIPSIS] * len(self.columns)
            if row is None
            else [column.cell(v) for column, v in zip(self.columns, row)]
            for row in _ends(self.rows, most_rows)
        ]


class Tabular(abc.ABC):
    """What prints as a short table, in notebooks too, and leaves as rows."""

    @abc.abstractmethod
    def _table(self) -> Table:
        """Returns all rows."""

    def _shown(self) -> Table:
        """Returns what is printed, if that is not all."""
        return self._table()

    def __str__(self) -> str:
        return str(self._shown())

    def _repr_html_(self) -> str:
        return self._shown().to_html()

    def to_csv(self, path: str | os.PathLike | None = None) -> str | None:
        """Writes all rows to a file, or returns them as text without a path."""
        return self._table().to_csv(path)

    def to_dataframe(self) -> Any:
        """Returns a `pandas.DataFrame` of all rows."""
        return self._table().to_dataframe()


def aligned(
    cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]
) -> str:
    """Returns a line of text with cells of given widths."""
    parts = []
    for cell, width, at_right in zip(cells, widths, right):
        space = " " * (width - text_width(cell))
        parts.append(space + cell if at_right else cell + space)
    return "  ".join(parts).rstrip()


def printable(text: str) -> str:
    """Returns a text that takes one line of a terminal and changes nothing."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode()
        for c in text
    )


def text_width(text: str) -> int:
    """Returns the columns that a text takes in a terminal."""
    return sum(
        0
        if unicodedata.combining(c)
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def shortened(text: str, width: int) -> str:
    """Returns a text as `printable` does, cut if it takes more columns.

    >>> shortened("cats and dogs", 8)
    'cats an…'
    """
    text = printable(text)
    if text_width(text) <= width:
        return text
    while text_width(text) >= width:
        text = text[:-1]
    return text + ELLIPSIS


def escaped(text: Any) -> str:
    """Returns a text as HTML that shows it, in quotes or without."""
    return html.escape(printable(str(text)))


def _ends(rows: Sequence, most: int) -> list:
    """All rows, or the first and the last with `None` between."""
    if len(rows) <= most:
        return list(rows)
    half = most // 2
    return [*rows[:half], None, *rows[-half:]]


def _style(css: str) -> str:
    return f' style="{escaped(css)}"' if css else ""


def _plain(row: Sequence[Any]) -> list:
    """Values without NumPy, whose scalars CSV would write in another way."""
    return [v.item() if hasattr(v, "item") else v for v in row]


def _is_number(value: Any) -> bool:
    value = value.item() if hasattr(value, "item") else value
    return isinstance(value, (int, float)) and not isinstance(value, bool)
