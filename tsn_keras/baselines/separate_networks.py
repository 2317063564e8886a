"""A network for each task: what there is to reach, at its full price."""

import keras
import numpy as np

from tsn_keras.baselines.baseline import Baseline


@keras.saving.register_keras_serializable(package="tsn_keras.baselines")
class SeparateNetworks(Baseline):
    """Trains a network of its own for each task, and stores all of them.

    Nothing is forgotten, and nothing is gained from other tasks. The first
    network starts as the backbone that was given, all later ones with newly
    drawn values. Takes the arguments of `Baseline`.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu")]
    ... )
    >>> method = SeparateNetworks(backbone, seed=0)
    >>> method.tasks
    ()
    """

    def begin_task(self) -> None:
        if len(self.tasks) > 1:
            config = self.backbone.get_config()
            fresh = type(self.backbone).from_config(config)
            self.backbone.set_weights(fresh.get_weights())

    def end_task(self, data) -> None:
        self.kept[f"network {len(self.tasks) - 1}"] = [
            np.array(value) for value in self.backbone.get_weights()
        ]

    def use_task(self, task: str) -> None:
        network = self.kept.get(f"network {self.tasks.index(task)}")
        if network is not None:
            self.backbone.set_weights(network)

    def stored(self) -> dict[str, list]:
        stored = super().stored()
        # It is a copy of one of those that are kept.
        del stored["network"]
        names = [kind for kind in stored if kind.startswith("network ")]
        networks = [array for kind in names for array in stored.pop(kind)]
        return {"networks": networks, **stored}
