"""What a built model takes."""

from typing import Any

import keras


def declared_inputs(network: keras.Model) -> Any:
    """Returns the nest of input tensors that a built model declares.

    Args:
        network: Sequential or functional `keras.Model`.
    """
    if isinstance(network, keras.Sequential) or len(network.inputs) == 1:
        return network.inputs[0]
    return getattr(network, "_inputs_struct", network.inputs)
