"""The mean squared gradients that an optimizer keeps."""

from typing import Any

import keras
import numpy as np

from tsn_keras.layers.masked_kernel import read


def second_moment(optimizer: Any, variable: keras.Variable) -> np.ndarray:
    """Returns the running mean of a variable's squared gradients.

    Adam (Kingma & Ba, 2015), its relatives and RMSprop divide by its root;
    it is the diagonal of the empirical Fisher information of a batch.

    Args:
        optimizer: `keras.optimizers.Optimizer`.
        variable: `keras.Variable` that the optimizer trains.

    Returns:
        float array of the variable's shape; zeros before the first step.

    Raises:
        ValueError: If the optimizer keeps no such mean.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer.built:
        check_second_moments(optimizer)
        index = optimizer._get_variable_index(variable)
        return read(optimizer._velocities[index])
    return np.zeros(variable.shape, np.float32)


def check_second_moments(optimizer: Any) -> None:
    """Refuses an optimizer that keeps no mean of squared gradients.

    Args:
        optimizer: `keras.optimizers.Optimizer`, built.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "_velocities", None):
        raise ValueError(
            "`FisherPruning` ranks weights by the squared gradients that "
            "Adam, AdamW, Nadam, Lamb or RMSprop keep, and "
            f"{type(optimizer).__name__} keeps none. Compile the model with "
            "one of these, or use `MagnitudePruning`."
        )
