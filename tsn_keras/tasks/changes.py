"""One thread at a time changes a model; all others may read it."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator


class Changes:
    """Lets calls that change a model exclude each other.

    A thread that changes the model may do so in what it calls, such as a
    callback. Any other is refused.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._name = ""

    @contextlib.contextmanager
    def by(self, name: str) -> Iterator[None]:
        """Holds off the changes of other threads.

        Args:
            name: What changes the model, for the errors that others get.

        Raises:
            RuntimeError: If another thread is changing the model.
        """
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                f"`{name}` cannot run while another thread changes the model "
                f"in `{self._name}`. Call it when that has ended. Consolidated "
                "tasks can be evaluated, predicted and exported meanwhile."
            )
        before, self._name = self._name, name
        try:
            yield
        finally:
            self._name = before
            self._lock.release()

    @contextlib.contextmanager
    def if_none(self) -> Iterator[bool]:
        """Tells whether nothing changes the model, and keeps it so if it is."""
        if not self._lock.acquire(blocking=False):
            yield False
            return
        try:
            yield not self._name
        finally:
            self._lock.release()


def changes_model(method: Callable) -> Callable:
    """Lets a method of a model exclude all others that change it."""

    @functools.wraps(method)
    def changing(self, *args, **kwargs):
        by, heads = self.changes.by(method.__name__), self.compiled_heads
        # A callback of an evaluation may change the model, too.
        with by, heads.reading_nothing():
            return method(self, *args, **kwargs)

    return changing
