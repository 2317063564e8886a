"""What a model, a backbone, a head and an optimizer must be."""

import contextlib
import gc
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from tsn_keras import keras_internals
from tsn_keras.data import (
    check_casts,
    check_class_names_fit,
    check_finite,
    check_integers,
    check_labels,
    check_shapes,
    check_strings,
    check_targets,
    labels_in_dict,
    shown,
    unknown_task,
)
from tsn_keras.layers import MaskedKernel, is_named_as_kernel
from tsn_keras.layers.given_values import LayerScope
from tsn_keras.names import is_plain, normal_form

# What TensorFlow notes of a call of another function: the inputs that it only
# reads.
READ_ONLY = "_read_only_resource_inputs"
TABLE_WRITES = ("LookupTableInsert", "LookupTableImport", "LookupTableRemove")
# What `predict` and `evaluate` take in place of a task's name.
RESERVED = "infer"
STEPS = ("train_step", "test_step", "compute_loss")
_OWNERS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _is_trained(layer: keras.layers.Layer) -> bool:
    own = keras_internals.own_variables(layer)
    return layer.trainable and bool(own or not layer.built)


def claim_backbone(model: keras.Model, backbone: keras.layers.Layer) -> None:
    """Refuses layers that another living ContinualModel trains.

    Frozen layers may be in several: none of them changes anything there.
    """
    layers = keras_internals.flatten_layers(backbone)
    layers = list(filter(_is_trained, layers))

    def others():
        owners = [
            (layer, _OWNERS.get(layer, lambda: None)()) for layer in layers
        ]
        return [
            (layer, owner)
            for layer, owner in owners
            if owner is not None and owner is not model
        ]

    if others():
        # Keras' models are in reference cycles and outlive their last name.
        gc.collect()
    for layer, owner in others():
        raise ValueError(
            f"Layer '{layer.name}' of backbone '{backbone.name}' belongs to "
            f"the ContinualModel '{owner.name}': what one learns would change "
            "the other. Build the backbone anew, or give "
            "`keras.models.clone_model(backbone)`."
        )
    for layer in layers:
        _OWNERS[layer] = weakref.ref(model)


def check_dtypes(
    kernels: list[MaskedKernel], private: list[keras.Variable]
) -> None:
    """Refuses kernels that are not float32."""
    for kernel in kernels:
        variable = kernel.kernel
        if variable.dtype != "float32":
            raise ValueError(
                f"Kernel '{kernel.path}' is {variable.dtype}, and the weight "
                "bank holds float32. Make its layer with dtype='float32', or "
                "with 'mixed_float16' or 'mixed_bfloat16' to compute in 16 "
                "bits."
            )
    for variable in private:
        floating = keras.backend.is_float_dtype(variable.dtype)
        if is_named_as_kernel(variable) and variable.ndim > 1 and not floating:
            raise ValueError(
                f"Kernel '{variable.path}' is {variable.dtype}, and only float "
                "kernels can be learned. Give the network as it was before it "
                "was quantized, or freeze the layer (`layer.trainable = "
                "False`): then all tasks share its kernel as it is."
            )


def check_reads(
    layer: keras.layers.Layer, kernels: list[MaskedKernel], inputs: Any
) -> None:
    """Refuses a backbone or head that computes past what Keras lists.

    It may read a copy of a kernel made when it was built, which neither masks
    nor frozen values would have an effect on. It may read or assign variables
    that Keras does not know, which no task could keep.
    """
    unread = []

    def call(*parts):
        x = tree.pack_sequence_as(inputs, parts)
        with contextlib.ExitStack() as stack:
            scope = stack.enter_context(LayerScope(layer))
            probes = []
            for kernel in kernels:
                probe = tf.identity(kernel.fixed.value)
                stack.enter_context(kernel.replaced(lambda probe=probe: probe))
                probes.append((kernel.path, probe))
            layer(x, training=True)
            unread.extend(p for p, probe in probes if not probe.consumers())
            if _has_users_own_code(layer):
                layer(x, training=False)
            scope.check_assigned()

    specs = [tf.TensorSpec(p.shape, p.dtype) for p in tree.flatten(inputs)]
    graph = (
        tf.function(call, autograph=False).get_concrete_function(*specs).graph
    )
    _check_variables(layer, graph)
    if unread:
        raise ValueError(
            f"Kernels {unread} are not read when the backbone is called, so "
            "no task could change what it computes. Let `call` read "
            "`self.kernel` itself, no copy of it and not `kernel._value`; or "
            "leave these weights out with the argument `kernels`."
        )


def check_head_calls(model: keras.Model) -> None:
    """Refuses a selected head that computes past what Keras lists."""
    if _has_users_own_code(model.heads.head):
        check_reads(model.heads.head, [], model.switch.features)


def _has_users_own_code(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer holds others than those of Keras and ours."""
    return any(
        type(one).__module__.partition(".")[0] not in ("keras", "tsn_keras")
        or isinstance(one, keras.layers.Lambda)
        for one in keras_internals.flatten_layers(layer)
    )


def _check_variables(layer: keras.layers.Layer, graph: tf.Graph) -> None:
    strategy = tf.distribute.get_strategy()
    values = [
        variable.value for variable in layer.variables + layer.metrics_variables
    ]
    known = set(map(id, values))
    for value in values:
        parts = strategy.experimental_local_results(value)
        known.update(map(id, parts))
    others = [v for v in graph.variables if id(v) not in known]
    names = [v.name for v in others if v.trainable]
    if names:
        raise ValueError(
            f"Layer '{layer.name}' reads {names}, which are no Keras "
            "variables: nothing would train, freeze or save them. Create them "
            "with `self.add_weight` in the layer's `build`."
        )
    written = _assigned_handles(graph)
    names = [
        v.name
        for v in others
        for part in strategy.experimental_local_results(v)
        if id(part.handle) in written
    ]
    names += [
        operation.name
        for operation in graph.get_operations()
        if operation.type.startswith(TABLE_WRITES)
    ]
    if names:
        raise ValueError(
            f"Layer '{layer.name}' assigns to {names} when it is called, "
            "which are no Keras variables: no task could keep them. Create "
            "them with `self.add_weight` in the layer's `build`."
        )


def _assigned_handles(graph: tf.Graph) -> set[int]:
    """Returns the ids of handles that a graph and those in it assign to."""
    inner = [part.name for part in graph.internal_captures]
    handles = dict(zip(inner, map(id, graph.external_captures)))
    written = set()
    for operation in graph.get_operations():
        parts = list(operation.inputs)
        if operation.type.startswith(("Assign", "ResourceScatter")):
            parts = parts[:1]
        elif READ_ONLY in operation.node_def.attr:
            # A loop, or another function that is called.
            read_only = operation.get_attr(READ_ONLY)
            parts = [p for i, p in enumerate(parts) if i not in read_only]
        else:
            continue
        written.update(handles[p.name] for p in parts if p.name in handles)
    return written


def check_stateless(layer: keras.layers.Layer) -> None:
    """Refuses recurrent layers that go on from the batch before."""
    kinds = keras.layers.RNN, keras.layers.Bidirectional
    for one in keras_internals.flatten_layers(layer):
        if isinstance(one, kinds) and getattr(one, "stateful", False):
            raise ValueError(
                f"Layer '{one.name}' has stateful=True. Its states are no "
                "variables that Keras lists, so they could belong to no task. "
                "Make it with stateful=False, and give whole sequences; or "
                "hand states on as inputs, with `return_state=True` and "
                "`initial_state`."
            )


def check_new_task(
    model: keras.Model,
    name: Any,
    head: Any,
    class_names: list[str] | None = None,
) -> str:
    """Refuses a task that cannot be added to a model.

    Returns:
        The task's name in Unicode's normal form C, in which all names are kept.
    """
    known = list(model.tasks)
    if not isinstance(name, str) or not name:
        raise ValueError(
            f"A task's name must be a non-empty string. Received: {name!r}"
        )
    name = normal_form(name)
    if name == RESERVED:
        raise ValueError(
            f"A task cannot be named '{RESERVED}': `predict` and `evaluate` "
            "infer the task then. Give it another name."
        )
    if not is_plain(name):
        raise ValueError(
            "A task's name must have no control characters, such as line "
            f"breaks, and no halves of characters. Received: {name!r}"
        )
    if name in known:
        raise ValueError(
            f"There is a task named '{name}' already. Give the new task "
            f"another name. Tasks so far: {known}"
        )
    if model.running_task is not None:
        raise ValueError(
            f"Task '{model.running_task.name}' is still running. Call "
            f"`model.consolidate(validation_data)` before adding '{name}'."
        )
    if not isinstance(head, keras.layers.Layer):
        raise TypeError(
            f"`head` must be a keras.layers.Layer. Received: {head!r}"
        )
    check_stateless(head)
    if model.switch.is_built:
        check_head(head, model.switch.features)
        check_class_count(class_names, head, model.switch.features)
    return name


def check_class_count(
    class_names: list[str] | None, head: keras.layers.Layer, features: Any
) -> None:
    """Refuses class names that are not as many as a head's outputs."""
    if class_names is not None:
        # Not by a call, of which Keras would keep a note.
        outputs = head.compute_output_spec(features)
        shapes = [tuple(part.shape) for part in tree.flatten(outputs)]
        check_class_names_fit(class_names, shapes, f"head '{head.name}'")


def check_running(model: keras.Model) -> None:
    """Refuses to give up a task where none is running."""
    if model.running_task is None:
        raise ValueError(
            "There is no running task to discard. Consolidated tasks never "
            f"change: {list(model.tasks)}"
        )


def known_task(name: str, known: list[str], to_train: bool = False) -> str:
    """Returns the name that a task was added with, or refuses it.

    It may be given in any normal form of Unicode, as file systems do.

    Args:
        to_train: Whether it is to be trained, and not to be served.
    """
    check_strings(task=name)
    if (normal := normal_form(name)) in known:
        return normal
    if to_train:
        remedy = f"Add a task with `model.add_task('{name}', head)`."
    elif known:
        remedy = (
            "Give one of these names, or load the file in which the task was "
            "saved: `keras.models.load_model`."
        )
    else:
        remedy = (
            "No task was learned yet. Load the file in which this one was "
            "saved, or learn it: `add_task`, `fit`, `consolidate`."
        )
    raise ValueError(f"{unknown_task(name, known, 'The model')} {remedy}")


def consolidated_task(model: keras.Model, name: str) -> str:
    """Returns the name of a task as `known_task`, if it is consolidated."""
    name = known_task(name, list(model.tasks))
    if name not in model.bank:
        raise ValueError(
            f"Task '{name}' is not consolidated yet. Call "
            "`model.consolidate(validation_data)` first."
        )
    return name


def removable_task(model: keras.Model, name: str) -> str:
    """Returns the name of a task as `consolidated_task`, if it can go."""
    name, running = known_task(name, list(model.tasks)), model.running_task
    if running is not None and name == running.name:
        raise ValueError(
            f"Task '{name}' is running. `model.discard_task()` gives it up."
        )
    if running is not None:
        raise ValueError(
            f"Task '{running.name}' is running, and may share slots with any "
            "other. Call `model.consolidate(validation_data)` or "
            f"`model.discard_task()` before removing '{name}'."
        )
    if len(model.tasks) == 1:
        raise ValueError(
            f"Task '{name}' is the only one, and would leave a model without "
            "any. Make another ContinualModel in place of this one, and delete "
            "its files."
        )
    return name


def checked_seed(seed: int | None) -> int | None:
    """Returns a seed that all others can be derived from."""
    check_integers(lowest=0, or_none=True, seed=seed)
    return None if seed is None else int(seed)


def check_weights(model: keras.Model, weights: Any) -> None:
    """Refuses values that not all weights of a model can take."""
    if not isinstance(weights, (list, tuple)):
        raise TypeError(
            "`weights` must be a list of arrays, as `get_weights` returns it. "
            f"Received: weights={shown(weights)}"
        )
    variables = model.weights
    shapes = [tuple(np.shape(weight)) for weight in weights]
    wanted = [tuple(variable.shape) for variable in variables]
    numeric = [np.asarray(weight).dtype.kind in "fiub" for weight in weights]
    if shapes != wanted or not all(numeric):
        raise ValueError(
            "`weights` must hold a numeric array for each weight of the "
            f"model, of the shapes {wanted}. Received the shapes {shapes}"
        )
    check_finite(list(weights), "weights")


def check_optimizer(given: Any, used: list) -> None:
    """Refuses an optimizer that another model was trained with."""
    if not getattr(given, "built", False):
        return
    mine = used + [getattr(one, "inner_optimizer", None) for one in used]
    if not any(given is one for one in mine):
        raise ValueError(
            f"Optimizer '{given.name}' has been used for another model "
            "already and keeps that model's state. Give a new one, for "
            f"example {type(given).__name__}.from_config("
            "optimizer.get_config())."
        )


def check_head(head: keras.layers.Layer, features: Any) -> None:
    """Refuses a head that does not fit the backbone's features."""
    try:
        head(features)
    except (TypeError, ValueError) as error:
        shapes = [tuple(part.shape) for part in tree.flatten(features)]
        raise ValueError(
            f"Head '{head.name}' does not fit the backbone's features of shape "
            f"{shapes}. Give `add_task` another head, for example "
            "keras.layers.Dense(num_classes)."
        ) from error


def check_backbone(backbone: Any) -> None:
    """Refuses anything but a Keras layer or model as backbone."""
    if not isinstance(backbone, keras.layers.Layer):
        raise TypeError(
            "`backbone` must be a keras.layers.Layer or keras.Model. "
            f"Received: {backbone!r}"
        )
    check_stateless(backbone)


def check_kernels(paths: list[str], backbone: keras.layers.Layer) -> None:
    """Refuses a backbone in which nothing can be masked."""
    if not paths:
        weights = [weight.path for weight in backbone.weights]
        raise ValueError(
            f"Backbone '{backbone.name}' has no maskable kernels: trainable "
            "float weights of two or more axes named 'embeddings' or "
            f"'...kernel', or chosen by `kernels`. It has: {weights}. Add a "
            "layer such as Dense or Conv2D, or choose other `kernels`."
        )


def check_saved_heads(heads: dict[str, int], count: int) -> None:
    """Refuses saved tasks whose heads a model does not have."""
    missing = [name for name, head in heads.items() if head >= count]
    if missing:
        raise ValueError(
            f"The saved tasks {missing} have heads that this model does not: "
            f"it has {count}. Load the file with `keras.models.load_model`, "
            "or add the heads before, as tasks in the same order, with "
            "`add_task` and `discard_task`."
        )


def check_saved_shapes(
    task: str, shapes: list, variables: list[keras.Variable]
) -> None:
    """Refuses private variables that were saved from another architecture.

    Args:
        shapes: list of tuples, of the task's saved private variables.
        variables: list of `keras.Variable`, those that come first of them.
    """
    for variable, shape in zip(variables, shapes):
        if tuple(variable.shape) != tuple(shape):
            raise ValueError(
                f"Task '{task}' was saved with another architecture: variable "
                f"'{variable.path}' has shape {tuple(variable.shape)}, and "
                f"{tuple(shape)} in the file. Load it into the architecture "
                "that it was saved with, or with `keras.models.load_model`."
            )
    if len(shapes) < len(variables):
        raise ValueError(
            f"Task '{task}' was saved with another architecture: it has "
            f"{len(shapes)} private variables, and this model at least "
            f"{len(variables)}. Load it into the architecture that it was "
            "saved with, or with `keras.models.load_model`."
        )


def has_own_steps(model: keras.Model) -> bool:
    """Tells whether a user's subclass sees to the loss itself."""
    return any(
        getattr(type(model), name) is not getattr(keras.Model, name)
        for name in STEPS
    )


def check_has_targets(model: keras.Model, x: Any, y: Any) -> None:
    """Refuses data without labels, if the loss needs them."""
    if y is None and model.loss is not None and not has_own_steps(model):
        advice = "Give `y`, or a data set of tuples `(x, y)`."
        raise ValueError(
            "The data have no labels, which the loss needs. "
            + (labels_in_dict(x) or advice)
        )


def check_examples(
    model: keras.Model, x: Any, y: Any, names: tuple[str, str]
) -> None:
    """Refuses examples that the selected head cannot be used with.

    Args:
        names: What errors call the two.
    """
    switch, heads = model.switch, model.heads
    check_has_targets(model, x, y)
    switch.admit(x)
    check_shapes(x, switch.inputs)
    check_casts(x, switch.inputs, names[0])
    check_finite(x, names[0])
    if not has_own_steps(model):
        outputs = heads.output_names(heads.selected)
        check_targets(y, model.loss, names[1], outputs)
    # Not by a call, of which Keras would keep a note.
    outputs = heads.head.compute_output_spec(switch.features)
    check_labels(y, model.loss, outputs)
