"""The one place that touches names of Keras that begin with an underscore.

Tried with Keras 3.15.1. Whoever moves to another version runs the tests and
looks here first.
"""

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from keras import tree
from keras.src.backend.common import global_state
from keras.src.trainers.compile_utils import CompileLoss, CompileMetrics

from tsn_keras.distribution import has_workers, local_batch, with_axis


def check_layer(layer: Any) -> None:
    """Refuses all but layers, which models are, too."""
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"`layer` must be a keras.layers.Layer. Received: layer={layer!r}"
        )


def flatten_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer and all layers within it, of all depths."""
    check_layer(layer)
    return list(layer._flatten_layers())


def direct_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers that a layer itself holds."""
    return list(layer._layers)


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's variables without those of the layers within it.

    Those that were made as trainable come first.
    """
    return own_trainable(layer) + own_non_trainable(layer)


def own_trainable(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's own variables that were made as trainable."""
    return list(layer._trainable_variables)


def own_non_trainable(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a layer's own variables that were never trainable."""
    return list(layer._non_trainable_variables)


def keeps_layer_names(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer's configuration holds the names of those in it."""
    return layer._obj_type() in ("Sequential", "Functional")


def set_trainable_flag(layer: keras.layers.Layer, trainable: bool) -> None:
    """Sets whether a layer is trainable, and leaves the layers in it alone."""
    layer._trainable = trainable


def set_trainable(variable: keras.Variable, trainable: bool) -> None:
    """Sets whether a variable is trained."""
    variable.trainable = trainable


def declared_inputs(network: keras.Model) -> Any:
    """Returns the nest of input tensors that a built model declares."""
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


def set_learning_rate(
    optimizer: keras.optimizers.Optimizer, rate: Any
) -> None:
    """Gives an optimizer a learning rate or a schedule, as users do."""
    optimizer.learning_rate = rate


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


def with_plain_optionals(model: keras.Model, step: Callable) -> Callable:
    """Lets a step take the optionals of TensorFlow apart as Keras does."""
    return model._autoconvert_optionals(step)


# What Keras compiles for outputs: the losses, the metrics, the mean loss.
COMPILED_FOR_OUTPUTS = ("_compile_loss", "_compile_metrics", "_loss_tracker")


def compile_outputs(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns losses and metrics compiled anew, which have seen no outputs.

    Args:
        arguments: Those of `compile` that depend on outputs.

    Returns:
        What Keras would set on the model, by name.
    """
    loss, weights, *metrics = (
        arguments.get(name)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics")
    )
    has_metrics = metrics != [None, None]
    return dict(
        zip(
            COMPILED_FOR_OUTPUTS,
            (
                None if loss is None else CompileLoss(loss, weights),
                CompileMetrics(*metrics) if has_metrics else None,
                keras.metrics.Mean(name="loss"),
            ),
        )
    )


def name_outputs(compiled: dict[str, Any], names: list[str] | None) -> None:
    """Lets losses and metrics find the outputs in a list by their names.

    Functional models do so with the names of their output layers.
    """
    for name in COMPILED_FOR_OUTPUTS[:2]:
        if compiled.get(name) is not None:
            compiled[name].output_names = names


def metrics_in(compiled: dict[str, Any]) -> list[keras.Metric]:
    """Returns the metrics in what was compiled, those of users among them."""
    loss, metrics, mean = map(compiled.get, COMPILED_FOR_OUTPUTS)
    found = [] if mean is None else [mean]
    if metrics is not None:
        given = (metrics._user_metrics, metrics._user_weighted_metrics)
        users = [m for m in tree.flatten(given) if isinstance(m, keras.Metric)]
        found += [metrics, *metrics.metrics, *users]
    if loss is not None:
        found += loss.metrics
    return found


def copy_counts(source: dict[str, Any], target: dict[str, Any]) -> None:
    """Gives metrics what others of the same compilation have counted."""
    for name in COMPILED_FOR_OUTPUTS:
        pair = source.get(name), target.get(name)
        if None not in pair:
            for one, other in zip(*(part.variables for part in pair)):
                other.assign(one)


def losses_with(model: keras.Model, value_of: Callable) -> list[Any]:
    """Returns a model's losses, with other values of regularized weights.

    Args:
        value_of: Function of a variable, its other value or `None`.
    """
    layers = flatten_layers(model)
    losses = [loss for layer in layers for loss in layer._get_own_losses()]
    for weight in model.trainable_weights:
        if weight.regularizer is not None:
            value = value_of(weight)
            losses.append(
                weight.regularizer(weight if value is None else value)
            )
    return losses


class _OtherStep:
    """A model as Keras sees it, but with another step of prediction."""

    def __init__(self, model: keras.Model, step: Callable):
        self._model = model
        self.predict_step = step
        self.predict_function = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def predict_function(model: keras.Model, step: Callable) -> Callable:
    """Returns a predict function as Keras makes it, of another step."""
    other = _OtherStep(model, step)
    keras.Model.make_predict_function(other, force=True)
    return other.predict_function


def raw_value(variable: keras.Variable) -> Any:
    """Returns the TensorFlow variable, whatever scope or cast is at work."""
    return variable._value


def forget_initial_epoch(model: keras.Model) -> None:
    """Lets the next `fit` begin at its first epoch.

    Keras never forgets at which epoch `BackupAndRestore` went on.
    """
    model._initial_epoch = None


def holds_layers(find: Callable[[Any], list]) -> Callable[[type], type]:
    """Lets a class of layers say which layers it holds at the moment."""

    def decorate(layer_class: type) -> type:
        # Keras sets an empty list, which is not needed.
        layer_class._layers = property(find, lambda self, layers: None)
        return layer_class

    return decorate


def compiles_outputs(
    attribute: type,
    finding: Callable[[keras.Model], contextlib.AbstractContextManager],
) -> Callable[[type], type]:
    """Lets a class of models keep losses and metrics in another way.

    Args:
        attribute: Class of descriptors that take the place of what Keras sets.
        finding: Function of a model. Returns a context in which Keras looks
            for metrics or builds them, other than in a step.
    """

    def decorate(model_class: type) -> type:
        @property
        def metrics(self):
            with finding(self):
                return parent.metrics.fget(self)

        def maybe_symbolic_build(self, *args, **kwargs):
            with finding(self):
                parent._maybe_symbolic_build(self, *args, **kwargs)

        parent = model_class.__base__
        model_class.metrics = metrics
        model_class._maybe_symbolic_build = maybe_symbolic_build
        for name in COMPILED_FOR_OUTPUTS:
            descriptor = attribute()
            descriptor.__set_name__(model_class, name)
            setattr(model_class, name, descriptor)
        return model_class

    return decorate


def trains_with_workers(model_class: type) -> type:
    """Mends what Keras 3.15 lacks for training with several workers."""

    def maybe_symbolic_build(self, iterator=None, data_batch=None):
        if iterator is not None and has_workers(self.distribute_strategy):
            iterator, data_batch = None, local_batch(iterator)
        symbolic_build(self, iterator, data_batch)

    def make_function(self, step_function):
        if has_workers(self.distribute_strategy):
            step_function = with_axis(step_function)
        return parent._make_function(self, step_function)

    parent, symbolic_build = (
        model_class.__base__,
        model_class._maybe_symbolic_build,
    )
    model_class._maybe_symbolic_build = maybe_symbolic_build
    model_class._make_function = make_function
    return model_class


def is_in_file() -> bool:
    """Tells whether a configuration goes to a file with weights now."""
    name = "shared_objects/id_to_config_map"
    return global_state.get_global_attribute(name) is not None


def is_in_legacy_file() -> bool:
    """Tells whether a configuration goes to an HDF5 file, or is from one."""
    return bool(global_state.get_global_attribute("use_legacy_config"))


def saved_with_more_than_variables(
    refuse: Callable[[str], None],
) -> Callable[[type], type]:
    """Lets a class of models refuse to be saved as a tree of variables.

    Args:
        refuse: Function that raises, of the name of what asked for the tree.
    """

    def decorate(model_class: type) -> type:
        def trackable_children(self, save_type="checkpoint", **kwargs):
            # The other type is an export, which serves one task.
            if save_type == "checkpoint":
                refuse("tf.train.Checkpoint")
            return parent._trackable_children(self, save_type, **kwargs)

        def get_state_tree(self, *args, **kwargs):
            refuse("get_state_tree")

        def set_state_tree(self, *args, **kwargs):
            refuse("set_state_tree")

        parent = model_class.__base__
        model_class._trackable_children = trackable_children
        model_class.get_state_tree = get_state_tree
        model_class.set_state_tree = set_state_tree
        return model_class

    return decorate


def set_regularizer(variable: keras.Variable, regularizer: Callable) -> None:
    """Sets what Keras adds to the loss for a variable."""
    variable.regularizer = regularizer


# What layers compute instead, by their id. Every thread has its own.
_instead: contextvars.ContextVar[dict[int, Callable]] = contextvars.ContextVar(
    "calls_instead", default={}
)
_covering = threading.Lock()


class _Cover:
    """The method `call` of a layer, unless a thread wants something else."""

    def __init__(self, layer: keras.layers.Layer):
        # Keras shows the signature in its errors.
        functools.update_wrapper(self, layer.call)
        self._key = id(layer)
        self.users = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = _instead.get().get(self._key, self.__wrapped__)
        return call(*args, **kwargs)


@contextlib.contextmanager
def _covered(layer: keras.layers.Layer) -> Iterator[Callable]:
    """Covers a layer while any thread needs it, and yields its own `call`."""
    with _covering:
        if not isinstance(layer.call, _Cover):
            layer.call = _Cover(layer)
        cover = layer.call
        cover.users += 1
    try:
        yield cover.__wrapped__
    finally:
        with _covering:
            cover.users -= 1
            if not cover.users:
                del layer.call


@contextlib.contextmanager
def calling_instead(
    changes: Iterable[tuple[keras.layers.Layer, Callable]],
) -> Iterator[None]:
    """Lets layers compute otherwise in this thread, in the context.

    Keras has no hook for that. So the method `call` of each layer is covered,
    which changes nothing for other threads.

    Args:
        changes: Pairs of a layer and a function, which gets what the layer
            computed and returns what it is to compute.
    """
    calls = dict(_instead.get())
    with contextlib.ExitStack() as stack:
        for layer, change in changes:
            own = stack.enter_context(_covered(layer))
            calls[id(layer)] = change(calls.get(id(layer), own))
        token = _instead.set(calls)
        try:
            yield
        finally:
            _instead.reset(token)


def call_with(layer: keras.layers.Layer, name: str, value: Any) -> Callable:
    """Returns a layer's `call` as it is with another value of an attribute.

    The layer itself stays as it is. It is computed with a twin that shares all
    else with it.
    """
    twin = object.__new__(type(layer))
    vars(twin).update({**vars(layer), name: value})
    return functools.partial(type(layer).call, twin)


@contextlib.contextmanager
def observed_calls(
    layers: list[keras.layers.Layer], note: Callable[[int, Any], None]
) -> Iterator[None]:
    """Shows what layers return in this thread, with their index."""

    def noting(index, call):
        def noting_call(*args, **kwargs):
            outputs = call(*args, **kwargs)
            note(index, outputs)
            return outputs

        return noting_call

    changes = [
        (layer, functools.partial(noting, index))
        for index, layer in enumerate(layers)
    ]
    with calling_instead(changes):
        yield
