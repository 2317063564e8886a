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
    """Lets `Subnetwork` and `Heads` compute with given values in this thread.

    Other layers do so if they are called through `call_given`. A function that
    is traced in the context keeps these values; give variables if they change
    from call to call.

    Args:
        values: pairs of a variable and its value: a tensor, a `tf.Variable` or
            a `keras.Variable` of the same shape and dtype. The value of a
            kernel is the effective one.

    Example:

    >>> layer = tsn_keras.layers.SubnetDense(2, use_bias=False)
    >>> layer.build((None, 3))
    >>> value = np.ones((3, 2), np.float32)
    >>> with computing_with([(layer.kernels[0].kernel, value)]):
    ...     print(layer(np.ones((1, 3))).numpy())
    [[3. 3.]]
    """
    given = dict(_given.get())
    for variable, value in values:
        # TensorFlow reads the raw value, which Keras does not cast.
        is_keras = isinstance(value, keras.Variable)
        given[id(variable)] = raw_value(value) if is_keras else value
    token = _given.set(given)
    try:
        yield
    finally:
        _given.reset(token)


@contextlib.contextmanager
def computing_with_own_values() -> Iterator[None]:
    """Lets layers compute with their own values again, in this thread."""
    token = _given.set({})
    try:
        yield
    finally:
        _given.reset(token)


def has_given_values() -> bool:
    """Tells whether any values are given."""
    return bool(_given.get())


def given_value(variable: keras.Variable) -> tf.Tensor | None:
    """Returns the value that is given for a variable, if there is one."""
    value = _given.get().get(id(variable))
    return None if value is None else tf.convert_to_tensor(value)


def call_given(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
    """Calls a built layer of any kind with the given values of its variables.

    Assignments to these variables are dropped.
    """
    if not _given.get():
        return layer(*args, **kwargs)
    with LayerScope(layer) as scope:
        outputs = layer(*args, **kwargs)
    scope.hand_on(layer)
    return outputs


class LayerScope(keras.StatelessScope):
    """Replaces values of a layer's variables while the layer is called.

    `replaced` holds pairs of a variable and its value. All other variables of
    the layer have their given value, if there is one. Of nested scopes Keras
    heeds only the innermost. This one also finds the values of those around it.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        replaced: Iterable[tuple[keras.Variable, Any]] = (),
    ):
        super().__init__(state_mapping=replaced, collect_losses=True)
        self.layer = layer
        self._assigned: dict[int, keras.Variable] = {}
        if _given.get():
            for variable in layer.variables:
                value = given_value(variable)
                if value is not None and id(variable) not in self.state_mapping:
                    # Not by `state_mapping`, which would cast it.
                    self.add_update((variable, value))
        self.replaced = dict(self.state_mapping)
        self._assigned.clear()

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        super().add_update(update)
        self._assigned[id(update[0])] = update[0]

    def get_current_value(self, variable: keras.Variable) -> Any:
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        return value

    def is_assigned(self, variable: keras.Variable) -> bool:
        """Tells whether a replaced value was assigned to in the scope."""
        before = self.replaced[id(variable)]
        return self.state_mapping[id(variable)] is not before

    def check_assigned(self) -> None:
        """Refuses assignments to variables that no list of Keras holds."""
        listed = self.layer.variables + self.layer.metrics_variables
        listed = set(map(id, listed))
        names = [
            variable.path
            for key, variable in self._assigned.items()
            if key not in listed
            # Of random numbers that nobody gave a seed.
            and variable.name != "seed_generator_state"
        ]
        if names:
            raise ValueError(
                f"Layer '{self.layer.name}' assigns to {names} when it is "
                "called, which Keras does not list among its variables: no "
                "task could keep them. Create them with `self.add_weight`, as "
                "attributes of the layer; a recurrent layer must not be "
                "`stateful`."
            )

    def hand_on(self, owner: keras.layers.Layer) -> None:
        """Does what the layer did in the scope, once the scope is left.

        Assignments to replaced variables are dropped. `owner` gets the losses.

        Raises:
            ValueError: If it assigned to variables that Keras does not list.
        """
        self.check_assigned()
        for variable in self._assigned.values():
            if id(variable) not in self.replaced:
                variable.assign(self.state_mapping[id(variable)])
        if self.losses:
            # Functional models refuse losses that are added from outside.
            keras.layers.Layer.add_loss(owner, self.losses)
