"""Other methods of continual learning, to set beside a `ContinualModel`."""

from tsn_keras.baselines.baseline import Baseline as Baseline
from tsn_keras.baselines.baseline import BaselineReport as BaselineReport
from tsn_keras.baselines.ewc import EWC as EWC
from tsn_keras.baselines.experience_replay import (
    ExperienceReplay as ExperienceReplay,
)
from tsn_keras.baselines.fine_tuning import FineTuning as FineTuning
from tsn_keras.baselines.joint_training import JointTraining as JointTraining
from tsn_keras.baselines.separate_networks import (
    SeparateNetworks as SeparateNetworks,
)
from tsn_keras.baselines.strength import choose_strength as choose_strength
from tsn_keras.baselines.subnetworks import packnet as packnet
from tsn_keras.baselines.subnetworks import wsn as wsn

# For users: what completion shows and the reference describes.
__all__ = [
    "Baseline",
    "BaselineReport",
    "EWC",
    "ExperienceReplay",
    "FineTuning",
    "JointTraining",
    "SeparateNetworks",
    "choose_strength",
    "packnet",
    "wsn",
]


def __dir__() -> list[str]:
    return __all__
