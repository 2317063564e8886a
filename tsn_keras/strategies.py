"""Strategies by name, object or configuration."""

from typing import Any

import keras

from tsn_keras.pruning import (
    AdaptiveSparsity,
    FisherPruning,
    MagnitudePruning,
    Pruning,
    ScorePruning,
)
from tsn_keras.quantization import AdaptiveCodebook
from tsn_keras.sharing import ActivationSimilarity, Always, Never, WarmStart

# A task is pruned while it trains, or when it is consolidated.
PRUNING = Pruning, AdaptiveSparsity
STRATEGIES = {
    "adaptive_sparsity": AdaptiveSparsity,
    "magnitude": MagnitudePruning,
    "scores": ScorePruning,
    "fisher": FisherPruning,
    "adaptive": AdaptiveCodebook,
    "activation_similarity": ActivationSimilarity,
    "always": Always,
    "never": Never,
    "warm_start": WarmStart,
}


def get_strategy(argument: str, value: Any, *wanted: type) -> Any:
    """Returns the strategy that an argument of `ContinualModel` means.

    Args:
        argument: the argument's name, for errors.
        value: strategy object, name, serialized strategy, or `None`.
        *wanted: the base classes of acceptable strategies.
    """
    if isinstance(value, str):
        strategy_class = STRATEGIES.get(value)
        if strategy_class is None or not issubclass(strategy_class, wanted):
            names = [n for n, c in STRATEGIES.items() if issubclass(c, wanted)]
            raise ValueError(
                f"`{argument}` must be a strategy object, None, or one of "
                f"{names}. Received: {argument}='{value}'"
            )
        return strategy_class()
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if value is not None and not isinstance(value, wanted):
        bases = " or ".join(base.__name__ for base in wanted)
        raise TypeError(
            f"`{argument}` must be a {bases}, a name or None. "
            f"Received: {argument}={value!r}"
        )
    return value
