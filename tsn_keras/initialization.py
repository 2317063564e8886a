"""Fresh weights for a new task."""

from typing import Any

import keras
import numpy as np

from tsn_keras.training_state import seed_states


def derived_seed(seed: int, *indices: int) -> int:
    """Returns a seed that depends on a seed and where it is used.

    Args:
        seed: int, 0 or more.
        *indices: int, such as the number of the task.

    Returns:
        int in [0, 2**31).
    """
    sequence = np.random.SeedSequence(seed, spawn_key=indices)
    return int(sequence.generate_state(1)[0] % 2**31)


def fresh_weights(layer: keras.layers.Layer, inputs: Any) -> list[np.ndarray]:
    """Returns newly initialized values for all weights of a layer.

    The layer is built a second time from its configuration, so that every
    weight comes from the initializer that its author gave it.

    Args:
        layer: `keras.layers.Layer`, built.
        inputs: nest of `KerasTensor`, what the layer is called with.

    Returns:
        list of arrays in the order of `layer.weights`.

    Raises:
        ValueError: If the layer cannot be made from its configuration.
    """
    try:
        twin = type(layer).from_config(layer.get_config())
    except (NotImplementedError, TypeError) as error:
        raise ValueError(
            f"Layer '{layer.name}' cannot be initialized anew for another "
            f"task: {type(layer).__name__} needs `get_config` and "
            "`from_config`, as saving does."
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


def reset_seed_generators(layer: keras.layers.Layer, seed: int) -> None:
    """Starts the random numbers of dropout and the like at a seed.

    Args:
        layer: `keras.layers.Layer`.
        seed: int.
    """
    for index, state in enumerate(seed_states(layer)):
        state.assign([derived_seed(seed, index), 0])
