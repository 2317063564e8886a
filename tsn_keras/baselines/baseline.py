"""What all methods have that learn tasks in one plain Keras network."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tsn_keras.bank import Capacity
from tsn_keras.data import check_integers, check_strings, shown, unknown_task

# What logits of other tasks' classes are set to, in float32.
NEVER = -1e9


@dataclasses.dataclass(frozen=True)
class BaselineReport:
    """What is told of a task that a `Baseline` learned.

    Args:
        method: The name of the method's class.

    Example:

    >>> BaselineReport("a", "EWC").to_dict()
    {'name': 'a', 'method': 'EWC'}
    """

    name: str
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Returns the entries of a report's `tasks`."""
        return dataclasses.asdict(self)


@keras.saving.register_keras_serializable(package="tsn_keras.baselines")
class Baseline(keras.Model):
    """Base class of methods that learn task after task in one Keras network.

    It has the life of a `ContinualModel`: `add_task`, `fit`, `consolidate`, and
    `evaluate` and `predict` with `task=`. So a `ScenarioRun` measures, saves
    and resumes it. Tasks are classifications with integer labels, and the
    outputs of heads are logits.

    A method overrides what it needs of `begin_task`, `training_data`,
    `penalty`, `end_task`, `use_task` and `stored`. What it keeps beside the
    network it puts into `kept`: it is saved, and its bytes are counted. With
    nothing overridden this is fine-tuning.

    Args:
        backbone: `keras.Model` that turns inputs into features `[batch, n]`,
            and whose input shape is declared.
        seed: With a seed, what a task learns depends on the seed, the number of
            the task and the values before it. `fit` then sets the global seeds.

    Attributes:
        backbone: The network that all tasks share.
        heads: The heads of all tasks, in order.
        tasks: The names of all tasks, in order.
        kept: dict of lists of arrays, what a method keeps by name.

    Example:

    ```python
    class L2(tsn_keras.baselines.Baseline):
        def end_task(self, data):
            self.kept["anchor"] = self.backbone.get_weights()

        def penalty(self):
            pairs = zip(self.backbone.weights, self.kept.get("anchor", []))
            return 0.1 * sum(keras.ops.sum((v - a) ** 2) for v, a in pairs)
    ```
    """

    # Whether heads of earlier tasks are trained with later ones.
    trains_all_heads = False

    def __init__(
        self,
        backbone: keras.Model,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_backbone(backbone)
        check_integers(seed=seed, or_none=True)
        self.backbone = backbone
        self.seed = seed
        self.heads = []
        self.tasks = ()
        self.kept = {}
        self._widths = []
        self._running = False
        self._begun = False
        self._data = None
        # Heads come later than what Keras takes for the whole of a model.
        self.built = True

    # What a method may override.

    def begin_task(self) -> None:
        """Prepares the network for the new task, before its first `fit`."""

    def training_data(self, data: tf.data.Dataset) -> tf.data.Dataset:
        """Returns what the task trains with.

        Args:
            data: Batches `(x, y)` of the task. Labels are numbered over the
                classes of all tasks; see `first_class`.
        """
        return data

    def penalty(self) -> Any:
        """Returns what is added to the loss of a training step, a scalar."""
        return 0.0

    def end_task(self, data: tf.data.Dataset) -> None:
        """Keeps what later tasks need of the one that was trained.

        Args:
            data: As in `training_data`.
        """

    def use_task(self, task: str) -> None:
        """Prepares the network to predict as a task."""

    def stored(self) -> dict[str, list]:
        """Returns the arrays and variables to count, in lists by kind."""
        heads = [v for head in self.heads for v in head.variables]
        network = list(self.backbone.variables)
        return {"network": network, "heads": heads, **self.kept}

    # The life of a task.

    def first_class(self, task: str) -> int:
        """Returns the number of a task's first class among those of all."""
        before = self._index(self._known(task))
        return sum(self._widths[:before])

    def add_task(
        self,
        name: str,
        head: keras.layers.Layer,
        class_names: Sequence[str] | None = None,
    ) -> None:
        """Starts a new task.

        Args:
            head: Turns features into one logit for each class.
            class_names: Not used.

        Raises:
            ValueError: If the name is in use, or another task is running.
        """
        check_strings(name=name)
        if self._running:
            raise ValueError(
                f"Task '{self.tasks[-1]}' is still running. Call `consolidate` "
                f"before task '{name}' is added."
            )
        if name in self.tasks:
            raise ValueError(
                f"`name` must be new. Received: name='{name}', and the tasks "
                f"are {list(self.tasks)}."
            )
        if not isinstance(head, keras.layers.Layer):
            raise TypeError(
                "`head` must be a Keras layer, such as keras.layers.Dense(10). "
                f"Received: head={shown(head)}"
            )
        if any(head is other for other in self.heads):
            raise ValueError(
                f"`head` must be new for task '{name}'. It is the head of "
                f"an earlier one. Received: head={shown(head)}"
            )
        is_new = not head.built
        self._add_head(head)
        if self.seed is not None and is_new:
            # Its initializers drew their seeds when the head was made.
            self._set_seed(len(self.tasks))
            same = type(head).from_config(head.get_config())
            same.build(self.backbone.output_shape)
            head.set_weights(same.get_weights())
        self.tasks = (*self.tasks, name)
        self._running, self._begun = True, False

    def fit(
        self,
        x: tf.data.Dataset,
        epochs: int = 1,
        shuffle: bool = False,
        verbose: str | int = "auto",
        callbacks: Any = None,
    ) -> keras.callbacks.History:
        """Trains the running task; see `keras.Model.fit`.

        Args:
            x: Batches `(x, y)`. They come in the order that they are in.
            shuffle: Not used; shuffle the data set.
        """
        if not self._running:
            raise ValueError("No task is running. Call `add_task` first.")
        data = self._numbered(x, self.tasks[-1])
        if not self.compiled:
            raise ValueError("Call `compile` before `fit`.")
        if not self._begun:
            # The optimizer starts fresh, and traces know the new head.
            self.compile_from_config(self.get_compile_config())
            self._set_seed(len(self.tasks))
            self.begin_task()
            self._begun = True
        self._data = data
        self.use_task(self.tasks[-1])
        return super().fit(
            self.training_data(data),
            epochs=epochs,
            shuffle=False,
            verbose=verbose,
            callbacks=callbacks,
        )

    def consolidate(
        self, validation_data: Any = None, verbose: str | int = "auto"
    ) -> BaselineReport:
        """Ends the running task.

        Args:
            validation_data: Not used.
            verbose: Not used.
        """
        if not self._begun:
            raise ValueError(
                "No task was trained. Call `add_task` and `fit` first."
            )
        self.end_task(self._data)
        self._data, self._running, self._begun = None, False, False
        return self.report(self.tasks[-1])

    def report(self, task: str) -> BaselineReport:
        """Returns the report of a task."""
        return BaselineReport(self._known(task), type(self).__name__)

    def evaluate(
        self, x: tf.data.Dataset, task: str | None = None, **kwargs: Any
    ) -> Any:
        """Evaluates a task, by default the latest; see `keras.Model`.

        Args:
            x: Batches `(x, y)`.
        """
        task = self._known(task)
        data = self._numbered(x, task)
        with self._as_task(task):
            return super().evaluate(data, **kwargs)

    def predict(
        self, x: Any, task: str | None = None, **kwargs: Any
    ) -> np.ndarray:
        """Predicts as a task, by default the latest; see `keras.Model`.

        Returns:
            Logits of the task's own classes, float32 `[examples, classes]`.
        """
        task = self._known(task)
        with self._as_task(task):
            logits = super().predict(x, **kwargs)
        first, width = self.first_class(task), self._widths[self._index(task)]
        return np.ascontiguousarray(logits[:, first : first + width])

    def capacity(self) -> Capacity:
        """Returns the bytes of all that the method stores, by kind.

        `dense_bytes` are those of the backbone and the first head. What Keras'
        optimizers hold is not counted.
        """
        kinds = {
            kind: sum(_bytes(part) for part in parts)
            for kind, parts in self.stored().items()
        }
        dense = [*self.backbone.variables]
        dense += self.heads[0].variables if self.heads else []
        return Capacity(kinds, sum(map(_bytes, dense)))

    # What Keras asks.

    def call(self, inputs, training=None):
        features = self.backbone(inputs, training=training)
        outputs = [head(features) for head in self.heads]
        return ops.cast(ops.concatenate(outputs, axis=-1), "float32")

    def compile(self, optimizer: Any = "adam", loss: Any = None, **kwargs: Any):
        """Configures training; see `keras.Model.compile`.

        Args:
            loss: `keras.losses.SparseCategoricalCrossentropy` from logits,
                which is the default.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        is_sparse = isinstance(
            loss, keras.losses.SparseCategoricalCrossentropy
        )
        if not is_sparse or not loss.get_config()["from_logits"]:
            raise ValueError(
                "`loss` must be keras.losses.SparseCategoricalCrossentropy("
                f"from_logits=True), or None. Received: loss={shown(loss)}"
            )
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        y_pred = self._among_own(y, y_pred)
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + self.penalty() if training else loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        y_pred = self._among_own(y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def trainable_variables(self):
        learning = self.heads if self.trains_all_heads else self.heads[-1:]
        variables = list(self.backbone.trainable_variables)
        return variables + [v for h in learning for v in h.trainable_variables]

    @property
    def trainable_weights(self):
        return self.trainable_variables

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "backbone": serialize(self.backbone),
            "seed": self.seed,
            "heads": [serialize(head) for head in self.heads],
            "tasks": list(self.tasks),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        deserialize = keras.saving.deserialize_keras_object
        config = dict(config)
        heads, tasks = config.pop("heads", ()), config.pop("tasks", ())
        backbone = deserialize(config.pop("backbone"), custom_objects)
        method = cls(backbone=backbone, **config)
        method.take_tasks([deserialize(head) for head in heads], tasks)
        return method

    def take_tasks(
        self, heads: Sequence[keras.layers.Layer], tasks: Sequence[str]
    ) -> None:
        """Takes the heads of tasks that were learned, when it is loaded."""
        for head in heads:
            self._add_head(head)
        self.tasks = tuple(tasks)

    def save_own_variables(self, store) -> None:
        for kind, arrays in self.kept.items():
            for number, array in enumerate(arrays):
                store[f"{kind}_{number}"] = np.asarray(array)

    def load_own_variables(self, store) -> None:
        found: dict[str, dict[int, np.ndarray]] = {}
        for key in store.keys():
            kind, number = re.fullmatch(r"(.+)_(\d+)", key).groups()
            found.setdefault(kind, {})[int(number)] = np.array(store[key])
        for kind, arrays in found.items():
            self.kept[kind] = [arrays[number] for number in sorted(arrays)]

    def _add_head(self, head: keras.layers.Layer) -> None:
        if not head.built:
            head.build(self.backbone.output_shape)
        shape = head.compute_output_shape(self.backbone.output_shape)
        self.heads.append(head)
        self._widths.append(int(shape[-1]))

    @contextlib.contextmanager
    def _as_task(self, task: str) -> Iterator[None]:
        self.use_task(task)
        try:
            yield
        finally:
            # A callback of `fit` may have asked.
            self.use_task(self.tasks[-1])

    def _index(self, task: str) -> int:
        return self.tasks.index(task)

    def _known(self, task: str | None) -> str:
        if not self.tasks:
            raise ValueError("There is no task yet. Call `add_task` first.")
        if task is None:
            return self.tasks[-1]
        if task not in self.tasks:
            raise ValueError(unknown_task(task, self.tasks, "The model"))
        return task

    def _set_seed(self, number: int) -> None:
        if self.seed is not None:
            generator = np.random.default_rng((self.seed, number))
            keras.utils.set_random_seed(int(generator.integers(2**31)))

    def _numbered(self, data: Any, task: str) -> tf.data.Dataset:
        """Numbers labels over the classes of all tasks."""
        if not isinstance(data, tf.data.Dataset):
            raise TypeError(
                "`x` must be a `tf.data.Dataset` of batches (x, y). Received: "
                f"{shown(data)}. Arrays become such by "
                "`tf.data.Dataset.from_tensor_slices((x, y)).batch(32)`."
            )
        first = self.first_class(task)

        def number(x, y):
            return x, tf.reshape(tf.cast(y, tf.int64), [-1]) + first

        return data.map(number)

    def _among_own(self, y: Any, logits: Any) -> Any:
        """Leaves each example the classes of its own task to choose from."""
        tasks = np.repeat(np.arange(len(self._widths)), self._widths)
        own = ops.take(tasks, y)[:, None] == ops.convert_to_tensor(tasks)[None]
        return ops.where(own, logits, NEVER)


def _check_backbone(backbone: Any) -> None:
    if not isinstance(backbone, keras.Model):
        raise TypeError(
            "`backbone` must be a keras.Model, such as keras.Sequential([...])."
            f" Received: backbone={shown(backbone)}"
        )
    shape = getattr(backbone, "output_shape", None) if backbone.built else None
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise ValueError(
            "`backbone` must declare its inputs, and give features of the "
            f"shape [batch, n]. Received features of the shape {shape}. Begin "
            "with `keras.Input`, and end with `keras.layers.Flatten` or a "
            "pooling layer."
        )


def _bytes(part: Any) -> int:
    shape, dtype = part.shape, keras.backend.standardize_dtype(part.dtype)
    return int(np.prod(shape)) * np.dtype(dtype).itemsize
