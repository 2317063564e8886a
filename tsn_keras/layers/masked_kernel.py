"""The state that decides what one kernel of a subnetwork computes with."""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tsn_keras.keras_internals import set_trainable
from tsn_keras.layers.given_values import given_value


def select_slots(mask, chosen, other):
    """Returns `where(mask, chosen, other)`, in the dtype of `other`.

    `tf.where` allows for broadcasting. On a CPU that makes it half as fast as
    this operation, which wants equal shapes.
    """
    mask, chosen, other = map(tf.convert_to_tensor, (mask, chosen, other))
    # In mixed precision the trained values come in the compute dtype.
    chosen = tf.cast(chosen, other.dtype)
    return tf.raw_ops.Select(condition=mask, x=chosen, y=other)


@tf.custom_gradient
def scored_slots(mask, values, other, scores):
    """Returns `where(mask, values, other)` and lets the scores learn.

    The gradient of the mask is passed straight through to the scores: they
    get `upstream * values`, and the values `where(mask, upstream, 0)`.
    """

    def gradient(upstream):
        upstream = tf.convert_to_tensor(upstream)
        nothing = tf.zeros_like(upstream)
        learned = tf.raw_ops.Select(condition=mask, x=upstream, y=nothing)
        return None, learned, None, upstream * values

    return select_slots(mask, values, other), gradient


def assign(variable: keras.Variable, value: np.ndarray) -> None:
    """Gives a variable a value of its own shape and dtype.

    `assign` of Keras and of TensorFlow also convert and check. That takes
    several times as long as copying a small array.
    """
    held = variable.value
    if isinstance(held, tf.distribute.DistributedValues):
        held.assign(value, read_value=False)
        return
    # A copy: the raw operation may keep the memory of the array it is given.
    tf.raw_ops.AssignVariableOp(resource=held.handle, value=np.array(value))


def read(variable: keras.Variable) -> np.ndarray:
    """Returns the value of a variable, as fast as `assign` sets it."""
    held = variable.value
    if isinstance(held, tf.distribute.DistributedValues):
        return keras.ops.convert_to_numpy(variable)
    return np.asarray(
        tf.raw_ops.ReadVariableOp(resource=held.handle, dtype=held.dtype)
    )


@dataclasses.dataclass(eq=False)
class MaskedKernel:
    """A kernel and the variables that turn it into its effective value.

    The effective kernel takes the trainable value in the slots that the
    running task owns, and a fixed value everywhere else:

    `effective = where(own_mask, kernel, fixed)`

    `fixed` holds the frozen values that the task shares with earlier tasks,
    and zeros in all slots outside its mask. No optimizer sees `fixed`, so
    nothing can move it.

    With learned scores the gradient of the mask is passed straight through to
    a score of each slot (WSN, Kang et al., ICML 2022). `path` is the kernel's
    name for users.
    """

    kernel: keras.Variable
    own_mask: keras.Variable
    fixed: keras.Variable
    scores: keras.Variable | None = None
    path: str | None = None

    def __post_init__(self):
        self.path = self.path or self.kernel.path
        # Every thread has its own.
        self._replacement = contextvars.ContextVar("replacement", default=None)

    def rename(self, path: str) -> None:
        """Sets the kernel's name for users, as it is in the whole network."""
        self.path = path

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.kernel.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def state(self) -> list[keras.Variable]:
        """The variables beside the kernel itself, in a fixed order."""
        variables = [self.own_mask, self.fixed, self.scores]
        return [v for v in variables if v is not None]

    @property
    def learns_scores(self) -> bool:
        """Whether functions that are traced now train the scores."""
        return self.scores is not None and self.scores.trainable

    @contextlib.contextmanager
    def fixed_scores(self) -> Iterator[None]:
        """Leaves the scores alone in functions traced in the context."""
        learns = self.learns_scores
        if learns:
            set_trainable(self.scores, False)
        try:
            yield
        finally:
            if learns:
                set_trainable(self.scores, True)

    def effective(self):
        """Returns the tensor that the layer computes with."""
        given = given_value(self.kernel)
        if given is not None:
            return given
        replacement = self._replacement.get()
        if replacement is not None:
            return replacement()
        if not self.learns_scores:
            return select_slots(self.own_mask, self.kernel, self.fixed)
        scores = tf.convert_to_tensor(self.scores)
        return scored_slots(
            tf.convert_to_tensor(self.own_mask),
            tf.cast(self.kernel, scores.dtype),
            tf.convert_to_tensor(self.fixed),
            scores,
        )

    def stored(self):
        """Returns what `effective` returns while no slot is trained."""
        return tf.convert_to_tensor(self.fixed)

    def install(self, value: np.ndarray, is_stored: bool = False) -> None:
        """Makes `value` the effective kernel, to the bit.

        With `is_stored` another value was installed before, and no slot has
        been trained since.
        """
        assign(self.fixed, value)
        if not is_stored:
            assign(self.own_mask, np.zeros(self.shape, bool))

    @contextlib.contextmanager
    def replaced(self, effective: Callable) -> Iterator[None]:
        """Computes with `effective()` in the context, in this thread."""
        token = self._replacement.set(effective)
        try:
            yield
        finally:
            self._replacement.reset(token)


class EffectiveRegularizer:
    """Regularizes what a kernel computes with, not what lies in its slots.

    The slots outside the mask of the current task hold values, too. If they
    counted, a task's loss would depend on what other tasks learn.
    """

    def __init__(self, regularizer: Callable, kernel: MaskedKernel):
        if isinstance(regularizer, EffectiveRegularizer):
            # Of an earlier subnetwork of the same layer.
            regularizer = regularizer.regularizer
        self.regularizer = regularizer
        self.kernel = kernel

    def __call__(self, value):
        return self.regularizer(self.kernel.effective())
