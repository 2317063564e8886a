"""Errors for backbones that tasks could not be learned with."""

import contextlib
import gc
import weakref
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from tsn_keras.installation import Installation
from tsn_keras.layers.kernel_rule import is_named_as_kernel

_OWNERS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def _is_trained(layer: keras.layers.Layer) -> bool:
    own = layer._trainable_variables or layer._non_trainable_variables
    return layer.trainable and bool(own or not layer.built)


def claim_backbone(model: keras.Model, backbone: keras.layers.Layer) -> None:
    """Refuses layers that another living ContinualModel trains.

    Frozen layers may be in several: none of them changes anything there.

    Args:
        model: `ContinualModel`.
        backbone: `keras.layers.Layer`.
    """
    layers = list(filter(_is_trained, backbone._flatten_layers()))

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


def check_dtypes(installation: Installation) -> None:
    """Refuses kernels that are not float32.

    Args:
        installation: `Installation`.
    """
    kernels = [(kernel.path, kernel.kernel) for kernel in installation.kernels]
    for path, variable in kernels:
        if variable.dtype != "float32":
            raise ValueError(
                f"Kernel '{path}' is {variable.dtype}, and the weight bank "
                "holds float32. Make its layer with dtype='float32', or with "
                "'mixed_float16' or 'mixed_bfloat16' to compute in 16 bits."
            )
    for variable in installation.private_of_backbone:
        floating = keras.backend.is_float_dtype(variable.dtype)
        if is_named_as_kernel(variable) and variable.ndim > 1 and not floating:
            raise ValueError(
                f"Kernel '{variable.path}' is {variable.dtype}, and only float "
                "kernels can be learned. Give the network as it was before it "
                "was quantized, or freeze the layer (`layer.trainable = "
                "False`): then all tasks share its kernel as it is."
            )


def check_reads(installation: Installation, inputs: Any) -> None:
    """Refuses kernels that calls of the backbone do not read.

    A layer may read a copy made when it was built, or a variable that Keras
    does not know. Neither masks nor frozen values would have an effect then.

    Args:
        installation: `Installation`.
        inputs: nest of `KerasTensor`, the backbone's inputs.
    """
    backbone, unread = installation.backbone, []

    def call(*parts):
        with contextlib.ExitStack() as stack:
            stack.enter_context(keras.StatelessScope(collect_losses=True))
            probes = []
            for kernel in installation.kernels:
                probe = tf.identity(kernel.fixed.value)
                stack.enter_context(kernel.replaced(lambda probe=probe: probe))
                probes.append((kernel.path, probe))
            backbone(tree.pack_sequence_as(inputs, parts), training=True)
        unread.extend(path for path, probe in probes if not probe.consumers())

    specs = [tf.TensorSpec(p.shape, p.dtype) for p in tree.flatten(inputs)]
    graph = (
        tf.function(call, autograph=False).get_concrete_function(*specs).graph
    )
    _check_variables(backbone, graph.variables)
    if unread:
        raise ValueError(
            f"Kernels {unread} are not read when the backbone is called, so "
            "no task could change what it computes. Let `call` read "
            "`self.kernel` itself, no copy of it and not `kernel._value`; or "
            "leave these weights out with the argument `kernels`."
        )


def _check_variables(backbone: keras.layers.Layer, read: Any) -> None:
    strategy = tf.distribute.get_strategy()
    known = {
        id(part)
        for variable in backbone.variables
        for part in strategy.experimental_local_results(variable.value)
    }
    known |= {id(variable.value) for variable in backbone.variables}
    names = [v.name for v in read if v.trainable and id(v) not in known]
    if names:
        raise ValueError(
            f"Backbone '{backbone.name}' reads {names}, which are no Keras "
            "variables: nothing would train, freeze or save them. Create them "
            "with `self.add_weight` in the layer's `build`."
        )
