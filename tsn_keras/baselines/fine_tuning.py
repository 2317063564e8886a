"""Training on, task after task, and nothing against forgetting."""

import keras

from tsn_keras.baselines.baseline import Baseline


@keras.saving.register_keras_serializable(package="tsn_keras.baselines")
class FineTuning(Baseline):
    """Trains one network on each task in turn.

    Earlier tasks keep their heads. What the network forgets, other methods
    have to keep. Takes the arguments of `Baseline`.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu")]
    ... )
    >>> method = FineTuning(backbone, seed=0)
    >>> method.compile("adam", metrics=["accuracy"])
    >>> method.add_task("a", head=keras.layers.Dense(2))
    >>> method.capacity().bytes
    {'network': 160, 'heads': 72}
    """
