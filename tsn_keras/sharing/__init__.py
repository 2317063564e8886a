"""Which plane a task joins: activation statistics and the strategies."""

from tsn_keras.sharing.activation_statistics import (
    activation_statistics as activation_statistics,
)
from tsn_keras.sharing.activation_statistics import (
    kl_divergence as kl_divergence,
)
from tsn_keras.sharing.activation_statistics import (
    masked_layers as masked_layers,
)
from tsn_keras.sharing.candidates import Nearest as Nearest
from tsn_keras.sharing.candidates import compare as compare
from tsn_keras.sharing.plane_choice import REASONS as REASONS
from tsn_keras.sharing.plane_choice import PlaneChoice as PlaneChoice
from tsn_keras.sharing.strategies import (
    ActivationSimilarity as ActivationSimilarity,
)
from tsn_keras.sharing.strategies import Always as Always
from tsn_keras.sharing.strategies import Never as Never
from tsn_keras.sharing.strategies import Sharing as Sharing
from tsn_keras.sharing.strategies import WarmStart as WarmStart

# For users: what completion shows and the reference describes.
__all__ = [
    "ActivationSimilarity",
    "Always",
    "Never",
    "PlaneChoice",
    "REASONS",
    "Sharing",
    "WarmStart",
    "kl_divergence",
    "masked_layers",
]


def __dir__() -> list[str]:
    return __all__
