"""Values given from outside, which layers compute with instead of their own.

So a task can be read as a view: its values are given, and no variable of the
network changes.
"""

import contextlib
import contextvars
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tsn_keras.keras_internals import raw_value

# The value of each variable by the variable's id. Every thread has its own.
_given: contextvars.ContextVar[dict[int, Any]] = contextvars.ContextVar(
    "given_values", default={}
)


@contextlib.contextmanager
def computing_with(
    values: Iterable[tuple[keras.Variable, Any]],
) -> Iterator[None]:
    """Lets `Subnetwork` and `Heads` compute with given values.

    It holds for calls of this thread. Other layers take part if they are
    called through `call_given`. A function that is traced in the context
    computes with these values for good: give variables if they are to change
    from call to call.

    Args:
        values: pairs of a variable and what it is to hold: a tensor, a
            `tf.Variable` or a `keras.Variable`, of its shape and dtype. For a
            kernel this is the effective value.

    Example:

    >>> layer = Subnetwork(keras.layers.Dense(2, use_bias=False))
    >>> layer.build((None, 3))
    >>> with computing_with([(layer.kernels[0].kernel, tf.ones((3, 2)))]):
    ...     np.asarray(layer(np.ones((1, 3))))
    array([[3., 3.]], dtype=float32)
    """
    added = {id(variable): _raw(value) for variable, value in values}
    token = _given.set({**_given.get(), **added})
    try:
        yield
    finally:
        _given.reset(token)


def _raw(value: Any) -> Any:
    """Returns what TensorFlow reads, which Keras does not cast."""
    return raw_value(value) if isinstance(value, keras.Variable) else value


def has_given_values() -> bool:
    """Tells whether any values are given."""
    return bool(_given.get())


def given_value(variable: keras.Variable) -> tf.Tensor | None:
    """Returns the value that is given for a variable, if there is one."""
    value = _given.get().get(id(variable))
    return None if value is None else tf.convert_to_tensor(value)


def call_given(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer of any kind with the given values of its variables.

    Args:
        layer: `keras.layers.Layer`, built.
        *args: Arguments of the call.
        **kwargs: Keyword arguments of the call.
    """
    if not _given.get():
        return layer(*args, **kwargs)
    with LayerScope(layer) as scope:
        outputs = layer(*args, **kwargs)
    scope.hand_on(layer)
    return outputs


class LayerScope(keras.StatelessScope):
    """Replaces values of a layer's variables, the given ones among them.

    Of nested scopes of Keras only the innermost counts. This one also finds
    the values that the scopes around it hold.

    Args:
        layer: `keras.layers.Layer` that is called in the scope.
        replaced: pairs of a variable and its value, which come before the
            given values.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        replaced: Iterable[tuple[keras.Variable, Any]] = (),
    ):
        super().__init__(state_mapping=replaced, collect_losses=True)
        self.layer = layer
        if _given.get():
            for variable in layer.variables:
                value = given_value(variable)
                if value is not None and id(variable) not in self.state_mapping:
                    # Not by `state_mapping`, which would cast it.
                    self.add_update((variable, value))
        self.replaced = dict(self.state_mapping)

    def get_current_value(self, variable: keras.Variable) -> Any:
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        return value

    def is_assigned(self, variable: keras.Variable) -> bool:
        """Tells whether a replaced value was assigned to in the scope."""
        before = self.replaced[id(variable)]
        return self.state_mapping[id(variable)] is not before

    def hand_on(self, owner: keras.layers.Layer) -> None:
        """Hands on what the layer did, once the scope is left.

        Assignments to replaced variables are dropped.

        Args:
            owner: `keras.layers.Layer` that gets the losses.
        """
        for variable in self.layer.variables:
            updated = self.state_mapping.get(id(variable))
            if updated is not None and id(variable) not in self.replaced:
                variable.assign(updated)
        if self.losses:
            # Functional models refuse losses that are added from outside.
            keras.layers.Layer.add_loss(owner, self.losses)
