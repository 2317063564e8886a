"""The one place that touches names of Keras that begin with an underscore.

Tried with Keras 3.13, 3.14 and 3.15. Whoever moves to another version runs
the tests and looks here first.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras


def flatten_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer and all layers within it, of all depths."""
    return list(layer._flatten_layers())


def direct_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers that a layer itself holds."""
    return list(layer._layers)


def replace_layers(
    layer: keras.layers.Layer, layers: list[keras.layers.Layer]
) -> None:
    """Lets a built layer hold other layers than before."""
    # Keras locks its tracker once a layer is built; its own LoRA code opens it
    # the same way.
    layer._tracker.unlock()
    layer._layers.clear()
    layer._layers.extend(layers)
    layer._tracker.lock()


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's variables without those of the layers within it.

    Those that were made as trainable come first.
    """
    return own_trainable(layer) + list(layer._non_trainable_variables)


def own_trainable(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's own variables that were made as trainable."""
    return list(layer._trainable_variables)


def keeps_layer_names(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer's configuration holds the names of those in it."""
    return layer._obj_type() in ("Sequential", "Functional")


def set_trainable_flag(layer: keras.layers.Layer, trainable: bool) -> None:
    """Sets whether a layer is trainable, and leaves the layers in it alone."""
    layer._trainable = trainable


def declared_inputs(network: keras.Model) -> Any:
    """Returns the nest of input tensors that a built model declares.

    Args:
        network: Sequential or functional `keras.Model`.
    """
    if isinstance(network, keras.Sequential) or len(network.inputs) == 1:
        return network.inputs[0]
    return getattr(network, "_inputs_struct", network.inputs)


def nodes_in_order(model: keras.Model) -> list:
    """Returns the nodes of a functional model, inputs first."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth]]


def history(tensor: keras.KerasTensor) -> tuple:
    """Returns the operation that made a tensor, its node and its index."""
    return tensor._keras_history


def carried_mask(tensor: Any) -> Any:
    """Returns the mask that Keras hands on with a tensor, or `None`."""
    return getattr(tensor, "_keras_mask", None)


def raw_learning_rate(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns an optimizer's learning rate, a variable or a schedule."""
    return optimizer._learning_rate


def take_decay_exclusions(
    optimizer: keras.optimizers.Optimizer, other: keras.optimizers.Optimizer
) -> None:
    """Gives an optimizer what weight decay leaves out in another one."""
    for name in (
        "_exclude_from_weight_decay",
        "_exclude_from_weight_decay_pattern",
    ):
        if hasattr(other, name):
            setattr(optimizer, name, getattr(other, name))


def second_moments(optimizer: keras.optimizers.Optimizer) -> Any:
    """Returns the optimizer's means of squared gradients, or `None`."""
    return getattr(optimizer, "_velocities", None)


def index_of_variable(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable
) -> int:
    """Returns the place of a variable in an optimizer's lists."""
    return optimizer._get_variable_index(variable)


def metric_direction(metric: keras.Metric) -> str | None:
    """Returns `"up"` or `"down"`, what is better; `None` if it is not known."""
    return getattr(metric, "_direction", None)


def multi_step_function(model: keras.Model, step: Callable) -> Callable:
    """Returns Keras' own function that runs a step on an iterator's batches."""
    return model._make_function(step)


def keras_make_function(model: keras.Model, step: Callable) -> Callable:
    """As `multi_step_function`, whatever a subclass makes of it."""
    return keras.Model._make_function(model, step)


def with_plain_optionals(model: keras.Model, step: Callable) -> Callable:
    """Lets a step take the optionals of TensorFlow apart as Keras does."""
    return model._autoconvert_optionals(step)


def compiled_outputs(model: keras.Model) -> tuple[Any, Any]:
    """Returns what Keras compiled of losses and of metrics."""
    return model._compile_loss, model._compile_metrics


def set_compiled_outputs(model: keras.Model, loss: Any, metrics: Any) -> None:
    """Gives a model other compiled losses and metrics."""
    # As in `compile`: Keras does not track these.
    object.__setattr__(model, "_compile_loss", loss)
    object.__setattr__(model, "_compile_metrics", metrics)


def raw_value(variable: keras.Variable) -> Any:
    """Returns the TensorFlow variable, whatever scope or cast is at work."""
    return variable._value


def set_regularizer(variable: keras.Variable, regularizer: Callable) -> None:
    """Sets what Keras adds to the loss for a variable."""
    variable.regularizer = regularizer


def set_trainable(variable: keras.Variable, trainable: bool) -> None:
    """Sets whether functions that are traced from now on train a variable."""
    variable.trainable = trainable


def set_argument(layer: keras.layers.Layer, name: str, value: Any) -> None:
    """Changes an argument that a layer was made with and reads in each call."""
    setattr(layer, name, value)


@contextlib.contextmanager
def observed_calls(
    layers: list[keras.layers.Layer], note: Callable[[int, Any], None]
) -> Iterator[None]:
    """Shows what layers return, with their index, while the context lasts.

    Keras has no hook for that: the method `call` of each layer is covered.
    """

    def noting(index, call):
        def noting_call(*args, **kwargs):
            outputs = call(*args, **kwargs)
            note(index, outputs)
            return outputs

        return noting_call

    for index, layer in enumerate(layers):
        layer.call = noting(index, layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call
