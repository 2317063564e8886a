"""A network for each task: what there is to reach, at its full price."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

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

    def __init__(
        self, backbone: keras.Model, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(backbone, seed, **kwargs)
        # The task whose values the backbone has, and those of the running one
        # while it has others.
        self._holds: str | None = None
        self._away: list[np.ndarray] | None = None

    def begin_task(self) -> None:
        if len(self.tasks) > 1:
            config = self.backbone.get_config()
            fresh = type(self.backbone).from_config(config)
            self.backbone.set_weights(fresh.get_weights())
        self._holds, self._away = self.tasks[-1], None

    def end_task(self, data: tf.data.Dataset) -> None:
        self.kept[self._kind(self.tasks[-1])] = [
            np.array(value) for value in self.backbone.get_weights()
        ]

    def use_task(self, task: str) -> None:
        if task == self._holds:
            return
        if self._holds and self._kind(self._holds) not in self.kept:
            self._away = self.backbone.get_weights()
        values = self.kept.get(self._kind(task), self._away)
        if values is not None:
            self.backbone.set_weights(values)
            self._holds = task

    def _kind(self, task: str) -> str:
        return f"network {self.tasks.index(task)}"

    def stored(self) -> dict[str, list]:
        stored = super().stored()
        # It is a copy of one of those that are kept.
        del stored["network"]
        names = [kind for kind in stored if kind.startswith("network ")]
        networks = [array for kind in names for array in stored.pop(kind)]
        return {"networks": networks, **stored}
