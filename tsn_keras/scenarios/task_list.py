"""A scenario of tasks that are made one by one."""

from collections.abc import Callable, Sequence

from tsn_keras.scenarios import scenario


class TaskList(scenario.Scenario):
    """Tasks, each built by a function when it is asked for."""

    def __init__(self, builders: Sequence[Callable[[], scenario.Task]]) -> None:
        self._builders = tuple(builders)

    def __len__(self) -> int:
        return len(self._builders)

    def _build(self, index: int) -> scenario.Task:
        return self._builders[index]()
