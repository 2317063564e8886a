"""The quality on every task after every task."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tsn_keras.data import check_integers, check_numbers, check_strings, shown
from tsn_keras.tables import ELLIPSIS, Column, Table, Tabular

# A larger matrix is shown without the tasks in the middle.
MOST_SHOWN = 8


class AccuracyMatrix(Tabular):
    """Holds the quality on task j after task i was learned.

    Entry `R[i, j]` is the test quality on task `j` (column) right after task
    `i` (row) was learned; NaN where nothing was measured. Every entry is
    measured: `evaluate_row` runs the model on each task again and never copies
    the row above, even though it should be equal. `record` may fill the upper
    triangle, the tasks that are not learned yet.

    Source: Lopez-Paz and Ranzato, 2017, Gradient Episodic Memory.

    Args:
        tasks: Number of tasks, or their names in the order of learning.

    Example:

    >>> matrix = AccuracyMatrix(2)
    >>> matrix.record(0, 0, 0.9)
    >>> matrix.record(1, 0, 0.8)
    >>> matrix.to_list()
    [[0.9, None], [0.8, None]]
    >>> print(matrix)
    after       0  1
    0      0.9000
    1      0.8000
    """

    def __init__(self, tasks: int | Sequence[str]) -> None:
        if isinstance(tasks, str):
            raise ValueError(
                "`tasks` must be a number or a list of names. Received: "
                f"{tasks!r}. Pass [{tasks!r}] for a single task."
            )
        self.names = None
        count = tasks
        if isinstance(tasks, Sequence):
            self.names = tuple(tasks)
            for name in self.names:
                check_strings(tasks=name)
            count = len(self.names)
            if len(set(self.names)) < count:
                raise ValueError(
                    "`tasks` must name every task once. Received: "
                    f"{self.names}. Rename the repeated ones."
                )
        check_integers(tasks=count)
        if count < 1:
            raise ValueError(
                f"`tasks` must be at least one task. Received: {tasks!r}. "
                "Pass their number or their names."
            )
        self._values = np.full((count, count), np.nan)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def values(self) -> np.ndarray:
        """A copy of the entries, float64 `[tasks, tasks]`, NaN if unknown."""
        return self._values.copy()

    def record(self, row: int, column: int, value: float) -> None:
        """Stores the quality on task `column` after task `row` was learned."""
        check_integers(row=row, column=column)
        check_numbers(value=value)
        for name, index in (("row", row), ("column", column)):
            if not 0 <= index < len(self):
                raise ValueError(
                    f"`{name}` must lie between 0 and {len(self) - 1}. "
                    f"Received: {index}. Make the matrix with more tasks."
                )
        if not np.isfinite(value):
            raise ValueError(
                f"`value` must be finite. Received: {value}. Leave out what "
                "was not measured."
            )
        self._values[row, column] = value

    def evaluate_row(
        self, model: Any, tasks: Sequence, row: int, metric: str = "accuracy"
    ) -> np.ndarray:
        """Evaluates every task learned so far, and stores the row.

        Args:
            model: `ContinualModel`.
            tasks: Each with `name` and `test`. They are taken one at a time.
            row: Number of the task that was learned last.
            metric: Which of the compiled metrics to store.

        Returns:
            The stored values, float64 `[row + 1]`.
        """
        check_tasks(tasks)
        check_integers(row=row)
        if not 0 <= row < min(len(self), len(tasks)):
            raise ValueError(
                f"`row` must be less than the {len(self)} tasks of the matrix "
                f"and the {len(tasks)} tasks passed. Received: {row}. Pass "
                "the number of the task that was learned last, from 0."
            )
        check_model(model)
        for column in range(row + 1):
            task = tasks[column]
            if self.names is not None and task.name != self.names[column]:
                raise ValueError(
                    f"`tasks[{column}]` must be {self.names[column]!r}, as the "
                    f"matrix was told. Received: {task.name!r}. Pass the tasks "
                    "in the order of learning."
                )
            results = model.evaluate(
                task.test, task=task.name, return_dict=True, verbose=0
            )
            if metric not in results:
                raise ValueError(
                    f"`metric` must be one of {sorted(results)}. Received: "
                    f"{metric!r}. Add it to `compile(metrics=...)`."
                )
            self.record(row, column, float(results[metric]))
        return self._values[row, : row + 1].copy()

    def to_list(self) -> list[list[float | None]]:
        """Returns the entries for JSON, with None where nothing is known."""
        return [
            [None if np.isnan(value) else float(value) for value in row]
            for row in self._values
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the names of the tasks, or None, and the entries."""
        names = None if self.names is None else list(self.names)
        return {"tasks": names, "values": self.to_list()}

    def __repr__(self) -> str:
        return f"AccuracyMatrix({len(self) if not self.names else self.names})"

    def _table(self) -> Table:
        names = [str(name) for name in self.names or range(len(self))]
        columns = [Column("after"), *(Column(name, ".4f") for name in names)]
        rows = [[name, *row] for name, row in zip(names, self.to_list())]
        return Table(columns, rows)

    def _shown(self) -> Table:
        table = self._table()
        if len(self) <= MOST_SHOWN:
            return table
        half = MOST_SHOWN // 2

        def ends(cells, gap):
            return [*cells[: half + 1], gap, *cells[-half:]]

        rows = [ends(row, ELLIPSIS) for row in table.rows]
        columns = ends(table.columns, Column(ELLIPSIS))
        rows = [*rows[:half], [ELLIPSIS] * len(columns), *rows[-half:]]
        return Table(columns, rows, f"{len(self)} tasks")


def check_tasks(tasks: Any) -> None:
    """Refuses what is no sequence of tasks."""
    is_sequence = hasattr(tasks, "__len__") and hasattr(tasks, "__getitem__")
    first = tasks[0] if is_sequence and len(tasks) else None
    if not is_sequence or not (first is None or hasattr(first, "name")):
        raise TypeError(
            "`tasks` must be a sequence of tasks, such as a scenario: objects "
            "with the attributes `name`, `train`, `validation` and `test`. "
            f"Received: tasks={shown(tasks)}"
        )


def check_model(model: Any) -> None:
    """Refuses what cannot evaluate and predict a task."""
    if not hasattr(model, "evaluate") or not hasattr(model, "predict"):
        raise TypeError(
            "`model` must be a tsn_keras.ContinualModel. Received: "
            f"model={shown(model)}"
        )
