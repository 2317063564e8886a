"""A network that computes as the task it is told to."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from tsn_keras import input_checks, saved_checks
from tsn_keras.distribution import in_strategy_scope
from tsn_keras.task_network import TaskNetwork


class TaskInference(TaskNetwork):
    """Evaluates, predicts and exports as any task.

    The arguments are those of `TaskNetwork`.
    """

    def _install(self, task: str) -> None:
        """Puts a consolidated task to work."""
        is_stored = self._at_work in self.bank
        # Should it be interrupted, nobody is at work.
        self._at_work = None
        self._select_head(self.bank[task].head)
        private = self.bank.private(task)
        saved_checks.check_saved_shapes(
            task, [value.shape for value in private], self.installation.private
        )
        self.installation.install_kernels(self.bank.effective(task), is_stored)
        self.installation.install_private(private)
        self._at_work = task

    @contextlib.contextmanager
    def working_as(self, task: str | None) -> Iterator[None]:
        """Lets the network compute as a task while the context lasts.

        A running task's values come back afterwards. Without a running task
        the last one used stays at work, so that it need not be decoded again.

        Args:
            task: str or `None`, the active task.
        """
        name = self._resolved(task)
        if name == self._at_work:
            # A call in training mode may have moved moving statistics.
            if name in self.bank.tasks:
                self.installation.install_private(self.bank.private(name))
            yield
            return
        if self._running is None or self._at_work != self._running.name:
            self._install(name)
            yield
            return
        snapshot = self.installation.snapshot()
        try:
            self._install(name)
            yield
        finally:
            self._select_head(snapshot.head)
            self.installation.restore(snapshot)
            self._at_work = self._running.name

    @contextlib.contextmanager
    def _evaluated_as(self, task: str | None) -> Iterator[None]:
        """Like `working_as`, for functions that only read the kernels.

        For consolidated tasks they are functions of their own: no slot is
        trained there, so a kernel need not be put together.

        Args:
            task: str or `None`, the active task.
        """
        with self.working_as(task), contextlib.ExitStack() as kernels:
            if self._at_work not in self.bank:
                yield
                return
            for kernel in self.installation.kernels:
                kernels.enter_context(kernel.replaced(kernel.stored))
            kept = self._functions
            others = self.test_function, self.predict_function
            self.test_function = kept.stored_test
            self.predict_function = kept.stored_predict
            try:
                yield
            finally:
                kept.stored_test = self.test_function
                kept.stored_predict = self.predict_function
                self.test_function, self.predict_function = others

    def set_weights(self, weights: list) -> None:
        """Sets what is at work at the moment; see `keras.Model.set_weights`.

        Consolidated tasks do not change.

        Args:
            weights: list of arrays, as of `get_weights`.
        """
        super().set_weights(weights)
        if self._running is None:
            self._at_work = None

    def _resolved(self, task: str | None) -> str:
        """Returns the task's name, of the active task for `None`."""
        known = list(self.tasks)
        if task is None:
            if not known:
                raise ValueError(
                    "There is no task yet. Add one with "
                    "`model.add_task(name, head)`."
                )
            task = self._at_work or known[-1]
            if self._running is not None:
                task = self._running.name
        input_checks.check_known(task, known)
        if task not in self.bank.tasks and not self._running.begun:
            raise ValueError(
                f"Task '{task}' has not been trained yet. Call `model.fit` "
                "first."
            )
        return task

    @in_strategy_scope
    def evaluate(self, *args, task: str | None = None, **kwargs):
        """Evaluates a task; see `keras.Model.evaluate`.

        Args:
            *args: As in `keras.Model.evaluate`.
            task: str or `None`. The task's name; the active one by default.
            **kwargs: As in `keras.Model.evaluate`.

        Returns:
            As `keras.Model.evaluate`.
        """
        with self._evaluated_as(task):
            return super().evaluate(*args, **kwargs)

    @in_strategy_scope
    def predict(self, *args, task: str | None = None, **kwargs):
        """Predicts as a task; see `keras.Model.predict`.

        Args:
            *args: As in `keras.Model.predict`.
            task: str or `None`. The task's name; the active one by default.
            **kwargs: As in `keras.Model.predict`.

        Returns:
            As `keras.Model.predict`.
        """
        with self._evaluated_as(task):
            return super().predict(*args, **kwargs)

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        task: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Exports one consolidated task; see `keras.Model.export`.

        The file appears under its name only when it is complete.

        Args:
            filepath: str or path. Ends in `.tflite` for `litert`.
            format: str, `"tf_saved_model"`, `"litert"`, or another format of
                `keras.Model.export`.
            task: str or `None`. The task's name; the active one by default.
            **kwargs: For `litert` as in `tsn_keras.lite.export_task`, such as
                `precision` and `batch_size`; else as in `keras.Model.export`.

        Returns:
            `tsn_keras.lite.ExportReport` for `litert`, else `None`.
        """
        if format == "litert":
            from tsn_keras.lite import export_task

            kwargs.pop("verbose", None)
            return export_task(self, filepath, task, **kwargs)
        from tsn_keras.lite.other_formats import export_other

        return export_other(
            self, super().export, filepath, format, task, **kwargs
        )
