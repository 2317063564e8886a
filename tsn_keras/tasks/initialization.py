"""Fresh weights for a new task."""

import inspect
from typing import Any

import keras
import numpy as np

from tsn_keras.keras_internals import flatten_layers


def derived_seed(seed: int, *indices: int) -> int:
    """Returns a seed that depends on a seed and on where it is used.

    Args:
        seed: 0 or more.
        *indices: What it is used for, such as the number of the task.

    Returns:
        int in [0, 2**31).
    """
    sequence = np.random.SeedSequence(seed, spawn_key=indices)
    return int(sequence.generate_state(1)[0] % 2**31)


def fresh_weights(layer: keras.layers.Layer, inputs: Any) -> list[np.ndarray]:
    """Returns newly initialized values for all weights of a layer.

    The layer is built a second time from its configuration, so that every
    weight comes from the initializer that its author gave it. Its classes and
    functions are those of the layer itself, registered or not, and it may hold
    `Lambda` layers: nothing is read from a file.

    Returns:
        Arrays in the order of `layer.weights`.

    Raises:
        ValueError: If the layer cannot be made from its configuration.
    """
    layers = flatten_layers(layer)
    custom = {type(one).__name__: type(one) for one in layers}
    for value in (value for one in layers for value in vars(one).values()):
        if inspect.isfunction(value):
            custom[value.__name__] = value
    try:
        config = keras.saving.serialize_keras_object(layer)
        # It is built when it is called.
        config.pop("build_config", None)
        with keras.saving.custom_object_scope(custom):
            twin = keras.saving.deserialize_keras_object(
                config, safe_mode=False
            )
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Layer '{layer.name}' cannot be initialized anew for another "
            "task: like saving, that needs `get_config` and `from_config` of "
            "all layers in it, and functions registered with "
            "`keras.saving.register_keras_serializable`."
        ) from error
    twin(inputs)
    shapes = [weight.shape for weight in layer.weights]
    if [weight.shape for weight in twin.weights] != shapes:
        raise ValueError(
            f"Layer '{layer.name}' cannot be initialized anew for another "
            "task: made from its configuration it has other weights. Parts of "
            "a subclassed model must be frozen in `__init__`, since its "
            "configuration does not say what was frozen later."
        )
    return [np.asarray(weight) for weight in twin.weights]


def seed_states(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the states of dropout's and other random numbers in a layer."""
    return [v for v in layer.variables if v.name == "seed_generator_state"]


def reset_seed_generators(layer: keras.layers.Layer, seed: int) -> None:
    """Starts the random numbers of dropout and the like at a seed."""
    for index, state in enumerate(seed_states(layer)):
        state.assign([derived_seed(seed, index), 0])
