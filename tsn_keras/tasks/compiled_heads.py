"""What Keras compiled and traced, for each head and task of its own."""

import contextlib
import contextvars
import dataclasses
import functools
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.layers import Heads
from tsn_keras.tasks.view import ReadFunctions, View, computing_as

# Arguments of `compile` that depend on a head's outputs.
_FOR_OUTPUTS = ("loss", "loss_weights", "metrics", "weighted_metrics")
# What kind of outputs a head has: their shapes, and their names in a list.
Kind = tuple[str, tuple[str, ...] | None]
# What a callback sets to end the call that it was given to.
STOPS = ("stop_evaluating", "stop_predicting")


class PerHead:
    """An attribute of a model that each of its heads has for itself.

    Keras sets and reads it as if it were the model's own.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: keras.Model | None, owner: type) -> Any:
        return self if model is None else model.compiled_heads.get(self._name)

    def __set__(self, model: keras.Model, value: Any) -> None:
        model.compiled_heads.set(self._name, value)


def as_reader(model: keras.Model) -> contextlib.AbstractContextManager:
    """Computes as the task that a call in this thread reads, if it does."""
    return model.compiled_heads.as_reader()


class Compilation:
    """Losses and metrics of one call of `compile`, or of tasks with their own.

    They belong to a kind of outputs: Keras builds them once, for the outputs
    that it sees first. `F1Score` then counts as many classes as they have, and
    a loss for each of two outputs takes no single one. Heads whose outputs have
    one shape share them, as a user expects who holds a metric.

    Of each kind there are several sets, as many as count at one time. The
    first one holds the user's own objects, and counts in training.

    Args:
        arguments: Those of `compile` that depend on outputs.
        own: Those of them that are a task's alone.
    """

    def __init__(
        self,
        arguments: dict[str, Any],
        own: dict[str, Any] | None = None,
    ):
        self.own = own or {}
        arguments = {**arguments, **self.own}
        self.arguments = {name: arguments.get(name) for name in _FOR_OUTPUTS}
        # Under `None` until the kind of the outputs is known.
        first = keras_internals.compile_outputs(arguments) if arguments else {}
        self._sets: dict[Kind | None, list[dict[str, Any]]] = {None: [first]}
        self._in_use: set[tuple[Kind | None, int]] = set()

    def config(self) -> dict[str, Any]:
        """Returns the constructor's arguments as Keras serializes them."""
        return keras.saving.serialize_keras_object(
            {"arguments": self.arguments, "own": self.own}
        )

    def parts(self, kind: Kind | None, number: int = 0) -> dict[str, Any]:
        """Returns what Keras compiled, by the attribute of the model.

        Args:
            kind: Of the outputs, `None` if it is not known.
            number: Of the set.
        """
        if kind is None and None not in self._sets:
            # The head did not fit, was refused, and has computed nothing.
            kind = next(iter(self._sets))
        sets = self._sets.get(kind)
        if sets is None:
            first = self._sets.pop(None, None) or [self._fresh()]
            sets = self._sets[kind] = _named(first, kind)
        while len(sets) <= number:
            sets += _named([self._fresh()], kind)
        return sets[number]

    def claim(self, kind: Kind | None) -> int:
        """Returns the number of a set that nobody counts with."""
        number = 1
        while (kind, number) in self._in_use:
            number += 1
        self._in_use.add((kind, number))
        return number

    def release(self, kind: Kind | None, number: int) -> None:
        """Gives a set back."""
        self._in_use.discard((kind, number))

    def is_apart(self, kind: Kind | None, number: int) -> bool:
        """Tells whether no metric of a set is in the first one, too."""
        found = [
            keras_internals.metrics_in(self.parts(kind, one))
            for one in (0, number)
        ]
        return not set(map(id, found[0])) & set(map(id, found[1]))

    def _fresh(self) -> dict[str, Any]:
        given = dict(self.arguments)
        for name in ("metrics", "weighted_metrics"):
            given[name] = tree.map_structure(_fresh_metric, given[name])
        return keras_internals.compile_outputs(given)


@dataclasses.dataclass
class Reader:
    """A call that evaluates or predicts a task, in one thread.

    Args:
        head: Index of the task's head.
        view: The task's; `None` for what the variables hold.
        is_held: Whether the view was at hand before, and may be of a task that
            the model no longer has.
        number: Of the set of losses and metrics that it counts with, once it
            does.
        alone: Holds off all others who count, if it has to count alone.
        stops: What its callbacks have stopped.
    """

    model: keras.Model
    task: str
    head: int
    view: View | None
    is_held: bool
    compilation: Compilation
    number: int | None = None
    alone: contextlib.ExitStack | None = None
    stops: dict[str, bool] = dataclasses.field(default_factory=dict)

    def count_with(self, number: int) -> None:
        """Notes the set of losses and metrics to count with."""
        self.number = number

    def count_alone(self, others: contextlib.AbstractContextManager) -> None:
        """Counts alone until it ends, with no training meanwhile.

        Args:
            others: Is held while somebody counts alone.
        """
        self.alone = contextlib.ExitStack()
        self.alone.enter_context(others)
        self.alone.enter_context(self.model.changes.by("evaluate"))


class CompiledHeads:
    """What Keras compiled and traced, for each head and task of its own.

    Traced functions and the optimizer belong to a head; losses and metrics to
    a task, as they were compiled when it was added.

    Args:
        heads: Of the model. What is at work is that of the selected one.
    """

    def __init__(self, heads: Heads):
        self._heads = heads
        # Whoever traces functions or builds heads and metrics: that changes
        # what all threads share.
        self.tracing = threading.RLock()
        # Whoever looks for losses and metrics. A step may do so in a thread of
        # its replica, while `tracing` is held.
        self._looking = threading.RLock()
        # Whoever counts with metrics that cannot be copied.
        self._counting = threading.RLock()
        self._parts: dict[tuple, dict[str, Any]] = {}
        self._kinds: dict[int | None, Kind] = {}
        self._latest = Compilation({})
        self._of_task: dict[str, Compilation] = {}
        # The task that is learned, if there is one.
        self._running: str | None = None
        self._optimizer: Any = None
        self._stops: dict[str, bool] = {}
        # The call that evaluates or predicts in this thread.
        self._reader: contextvars.ContextVar[Reader | None] = (
            contextvars.ContextVar("reader", default=None)
        )
        # The same while a step runs or something is built for it. In between,
        # callbacks have all that is compiled for the latest task.
        self._at_work: contextvars.ContextVar[Reader | None] = (
            contextvars.ContextVar("reader_at_work", default=None)
        )

    # What Keras sets and reads.

    def get(self, name: str) -> Any:
        """Returns what the selected head has."""
        reader, at_work = self._reader.get(), self._at_work.get()
        if name in STOPS:
            return (reader.stops if reader else self._stops).get(name, False)
        if name == "loss":
            return self._compilation.arguments["loss"]
        if name in keras_internals.COMPILED_FOR_OUTPUTS:
            return self._compiled().get(name)
        if reader is not None and name == "test_function":
            self._number(reader)
            return self._functions(reader).test_function(reader.view)
        if reader is not None and name == "predict_function":
            return self._functions(reader).predict_function(reader.view)
        if name == "optimizer":
            # That of a task that is read no longer learns.
            part = self._part() if at_work is None else {}
            return part.get(name, self._optimizer)
        return self._part().get(name)

    def set(self, name: str, value: Any) -> None:
        """Sets what the selected head has."""
        reader = self._reader.get()
        if name in STOPS:
            (reader.stops if reader else self._stops)[name] = value
        elif name in keras_internals.COMPILED_FOR_OUTPUTS:
            self._compiled()[name] = value
            _named([self._compiled()], self._kind)
        elif name == "optimizer":
            self._optimizer = self._part()[name] = value
        elif name != "loss":
            self._part()[name] = value

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """Returns what the selected head has, made when it is first needed."""
        return self._kept_in(self._part(), name, make)

    def _kept_in(
        self, part: dict[str, Any], name: str, make: Callable[[], Any]
    ) -> Any:
        if part.get(name) is None:
            part[name] = make()
        return part[name]

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers of all heads."""
        found = [part.get("optimizer") for part in self._parts.values()]
        return [one for one in (self._optimizer, *found) if one is not None]

    # Which losses and metrics belong to which task.

    @contextlib.contextmanager
    def compiling(self, arguments: dict[str, Any]) -> Iterator[None]:
        """Takes up what Keras compiles, for the running task and later ones.

        Args:
            arguments: Of `keras.Model.compile`.
        """
        before = self._latest, self._optimizer
        running, self._running = self._running, None
        try:
            self._latest = Compilation(arguments)
            yield
        except BaseException:
            self._latest, self._optimizer = before
            raise
        finally:
            self._running = running
        config = _config(self._latest)
        for task, compilation in self._of_task.items():
            if task == running:
                compilation = self._of_running(compilation.own)
            elif config is not None and config == _config(compilation):
                # Compiled alike, it counts with what the user holds now.
                compilation = self._latest
            self._of_task[task] = compilation
        self._parts.clear()

    def add_task(self, name: str, loss: Any = None, metrics: Any = None):
        """Gives a task what is compiled now, which stays its own.

        Args:
            loss: The task's alone, in place of the compiled one.
            metrics: The task's alone, in place of the compiled ones.
        """
        own = {}
        if loss is not None:
            own |= {"loss": loss, "loss_weights": None}
        if metrics is not None:
            own |= {"metrics": metrics, "weighted_metrics": None}
        self._of_task[name] = self._of_running(own)

    def _of_running(self, own: dict[str, Any]) -> Compilation:
        return Compilation(self._latest.arguments, own) if own else self._latest

    def drop_task(self, name: str) -> None:
        """Forgets a task that was given up."""
        self.keep_tasks(set(self._of_task) - {name})

    def keep_tasks(self, names: Iterable[str]) -> None:
        """Forgets all other tasks, and what was traced for them alone."""
        of_task = self._of_task
        self._of_task = {n: of_task[n] for n in of_task if n in set(names)}
        used = {self._latest, *self._of_task.values()}
        with self.tracing:
            for key in [key for key in self._parts if key[1] not in used]:
                del self._parts[key]

    def compiled_alike(self, task: str) -> bool:
        """Tells whether a task was compiled as the running one."""
        return self._of(task) is self._compilation

    def get_config(self) -> dict[str, Any]:
        """Returns losses and metrics of all tasks, to save them."""
        found = list(dict.fromkeys(self._of_task.values()))
        configs = [None if c is self._latest else c.config() for c in found]
        numbers = {t: found.index(c) for t, c in self._of_task.items()}
        # One text: Keras serializes each entry of a dict by itself.
        return {"compilations": configs, "tasks": json.dumps(numbers)}

    def load_config(self, config: dict[str, Any]) -> None:
        """Takes over what `get_config` returned, after compiling."""
        deserialize = keras.saving.deserialize_keras_object
        found = [
            self._latest if saved is None else Compilation(**deserialize(saved))
            for saved in config["compilations"]
        ]
        numbers = json.loads(config["tasks"])
        self._of_task = {t: found[i] for t, i in numbers.items()}

    def select(
        self, index: int, features: Any, task: str | None = None
    ) -> None:
        """Selects a head, with all that is compiled for it.

        Args:
            index: Of the head.
            features: What the backbone returns, `None` if it is not known.
            task: The running task that it is selected for, if it is one.
        """
        with self.tracing:
            self._learn_kind(features)
            self._part()["optimizer"] = self._optimizer
            self._running = task
            self._heads.select(index)
            self._learn_kind(features)
            optimizer = self._part().get("optimizer", self._optimizer)
            self._optimizer = optimizer

    def let_go(self) -> None:
        """Notes that no task is running any more."""
        self._part()["optimizer"] = self._optimizer
        self._running = None

    # Reading.

    @property
    def is_read(self) -> bool:
        """Whether this thread computes as a task that it reads."""
        return self._at_work.get() is not None

    @contextlib.contextmanager
    def reading(
        self,
        model: keras.Model,
        task: str,
        head: int,
        view: View | None,
        is_held: bool,
    ) -> Iterator[None]:
        """Lets Keras evaluate and predict a task in this thread.

        Args:
            head: Index of its head.
            view: Its values; `None` for what the variables hold.
            is_held: Whether the view may be of a task that the model no longer
                has.
        """
        compilation = self._of(task)
        reader = Reader(model, task, head, view, is_held, compilation)
        token = self._reader.set(reader)
        try:
            if head not in self._kinds:
                with self.tracing, self._heads.reading(head):
                    self._learn_kind(model.switch.features)
            yield
        finally:
            self._reader.reset(token)
            if reader.number is not None:
                self._end_counting(reader)

    def held_view(self, task: str) -> View | None:
        """Returns the view of a task that this call was given."""
        reader = self._reader.get()
        is_given = reader is not None and reader.is_held
        return reader.view if is_given and reader.task == task else None

    @contextlib.contextmanager
    def as_reader(self) -> Iterator[None]:
        """Computes as the task that this thread reads, if it reads one."""
        reader = self._reader.get()
        if reader is self._at_work.get():
            yield
            return
        computing = computing_as(self._heads, reader.head, reader.view)
        with self._as(reader), computing:
            yield

    def reading_nothing(self) -> contextlib.AbstractContextManager:
        """Lets this thread change the model, as if it read no task."""
        return self._as(None)

    @contextlib.contextmanager
    def _as(self, reader: Reader | None) -> Iterator[None]:
        """Lets a step count as a reader, in whatever thread it runs."""
        tokens = self._reader.set(reader), self._at_work.set(reader)
        try:
            yield
        finally:
            self._reader.reset(tokens[0])
            self._at_work.reset(tokens[1])

    def call_function(self) -> Callable:
        """Returns a function of a batch that computes what is read."""
        reader = self._reader.get()
        return self._functions(reader).call_function(reader.view)

    def _functions(self, reader: Reader) -> ReadFunctions:
        # Those of views get values; those of the running task read variables.
        name = "read" if reader.view is None else "read_views"
        with self.tracing:
            return self._kept_in(
                self._part_of(reader),
                name,
                lambda: ReadFunctions(
                    reader.model,
                    reader.view,
                    reader.head,
                    self.tracing,
                    functools.partial(self._as, reader),
                ),
            )

    def _end_counting(self, reader: Reader) -> None:
        """Shows what a reader counted, as users expect who hold a metric."""
        kind = self._kinds.get(reader.head)
        if reader.alone is not None:
            reader.alone.close()
        elif not tf.distribute.has_strategy():
            with reader.model.changes.if_none() as is_free:
                if is_free:
                    sets = (reader.number, 0)
                    parts = reader.compilation.parts
                    keras_internals.copy_counts(*(parts(kind, n) for n in sets))
        with self._looking:
            reader.compilation.release(kind, reader.number)

    @property
    def _kind(self) -> Kind | None:
        reader = self._at_work.get()
        head = self._heads.selected if reader is None else reader.head
        return self._kinds.get(head)

    @property
    def _compilation(self) -> Compilation:
        reader = self._at_work.get()
        if reader is not None:
            return reader.compilation
        return self._of(self._running)

    def _of(self, task: str | None) -> Compilation:
        return self._of_task.get(task, self._latest)

    def _number(self, reader: Reader | None) -> int:
        """Returns the set of losses and metrics that a thread counts with."""
        if reader is None:
            return 0
        if reader.number is None:
            kind = self._kinds.get(reader.head)
            with self._looking:
                reader.count_with(reader.compilation.claim(kind))
            self._share_metrics(reader, kind)
        return reader.number

    def _share_metrics(self, reader: Reader, kind: Kind | None) -> None:
        """Lets no two threads count with metrics that cannot be copied.

        Those are metrics of a user's subclass and of layers, and such without
        a configuration.
        """
        compilation, model = reader.compilation, reader.model
        with self._looking:
            parts = compilation.parts(kind, reader.number)
        own = set(map(id, keras_internals.metrics_in(parts)))
        others = [m.name for m in model.metrics if id(m) not in own]
        if not others and compilation.is_apart(kind, reader.number):
            return
        reader.count_alone(self._counting)

    def _part(self) -> dict[str, Any]:
        reader = self._at_work.get()
        if reader is not None:
            return self._part_of(reader)
        key = self._heads.selected, self._compilation, 0
        return self._parts.setdefault(key, {})

    def _part_of(self, reader: Reader) -> dict[str, Any]:
        key = reader.head, reader.compilation, reader.number or 0
        return self._parts.setdefault(key, {})

    def _compiled(self) -> dict[str, Any]:
        """Returns losses and metrics for the selected head."""
        number = self._number(self._at_work.get())
        kind = self._kind
        with self._looking:
            return self._compilation.parts(kind, number)

    def _learn_kind(self, features: Any) -> None:
        """Builds the selected head, and finds out what its outputs are."""
        index = self._heads.selected
        if index is None or features is None:
            return
        head = self._heads.head
        if not head.built:
            head(features)
        if index not in self._kinds:
            try:
                outputs = head(features)
            except (TypeError, ValueError):
                return
            names = self._heads.output_names(index)
            shapes = tree.map_structure(lambda part: part.shape, outputs)
            self._kinds[index] = str(shapes), names and tuple(names)


def _named(sets: list[dict[str, Any]], kind: Kind | None) -> list:
    """Lets losses and metrics find the outputs of a kind by name."""
    for parts in sets:
        names = kind and kind[1]
        keras_internals.name_outputs(parts, names and list(names))
    return sets


def _config(compilation: Compilation) -> dict[str, Any] | None:
    """Returns a configuration, `None` for what has none."""
    try:
        return compilation.config()
    except Exception:  # Whatever the user's own objects raise.
        return None


def _fresh_metric(metric: Any) -> Any:
    """Returns a metric of the same configuration that has counted nothing."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except TypeError:
        # A user's own without configuration. It counts for all heads.
        return metric
