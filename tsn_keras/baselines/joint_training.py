"""One network trained on all tasks at once: what there is to gain from all."""

from typing import Any

import keras
import tensorflow as tf

from tsn_keras.baselines.baseline import Baseline
from tsn_keras.data import check_integers


@keras.saving.register_keras_serializable(package="tsn_keras.baselines")
class JointTraining(Baseline):
    """Trains one network on the data of all tasks, when the last one comes.

    It is no continual learning: all data have to be there at the end, and
    until then nothing is learned. What it reaches is often taken as the most
    that can be reached. Data are held by reference, so it cannot go on in
    another process. An epoch passes over the data of all tasks, in batches
    that mix them.

    Args:
        num_tasks: How many tasks there will be.

    The other arguments are those of `Baseline`.

    Example:

    >>> backbone = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu")]
    ... )
    >>> JointTraining(backbone, num_tasks=10).num_tasks
    10
    """

    trains_all_heads = True

    def __init__(
        self,
        backbone: keras.Model,
        num_tasks: int,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_integers(num_tasks=num_tasks)
        if num_tasks < 1:
            raise ValueError(
                "`num_tasks` must be at least 1, the number of all tasks. "
                f"Received: num_tasks={num_tasks}"
            )
        super().__init__(backbone, seed, **kwargs)
        self.num_tasks = int(num_tasks)
        self._all_data: list[tf.data.Dataset] = []

    def fit(
        self,
        x: tf.data.Dataset,
        epochs: int = 1,
        shuffle: bool = False,
        verbose: str | int = "auto",
        callbacks: Any = None,
    ) -> keras.callbacks.History:
        """Trains on the data of all tasks, if this is the last one."""
        if len(self.tasks) < self.num_tasks:
            epochs = 0
        return super().fit(x, epochs, shuffle, verbose, callbacks)

    def training_data(self, data: tf.data.Dataset) -> tf.data.Dataset:
        everything = [*self._all_data, data]
        if len(everything) < len(self.tasks):
            raise ValueError(
                f"The data of {len(self.tasks) - len(everything)} earlier "
                "tasks are not here: joint training cannot go on in another "
                "process. Learn all tasks in one."
            )
        return mixed(everything, self.seed)

    def end_task(self, data: tf.data.Dataset) -> None:
        self._all_data.append(data)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_tasks": self.num_tasks}


def mixed(
    datasets: list[tf.data.Dataset], seed: int | None = None
) -> tf.data.Dataset:
    """Mixes batches of several data sets into batches of the same size.

    Batches are drawn at random, as many as there are data sets are joined, and
    their examples are shuffled and dealt out again.
    """
    if len(datasets) == 1:
        return datasets[0]
    size = tf.shape(next(iter(datasets[0]))[1])[0]
    pool = tf.cast(size, tf.int64) * len(datasets)
    weights = [float(max(1, data.cardinality())) for data in datasets]
    drawn = tf.data.Dataset.sample_from_datasets(
        datasets,
        [weight / sum(weights) for weight in weights],
        seed=seed,
        rerandomize_each_iteration=True,
    )
    order = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)

    def shuffle(batch, number):
        rows = tf.random.experimental.stateless_shuffle(
            tf.range(tf.shape(batch[1])[0]), [number, 0]
        )
        return tf.nest.map_structure(lambda part: tf.gather(part, rows), batch)

    pools = tf.data.Dataset.zip(drawn.rebatch(pool), order).map(shuffle)
    batches = pools.rebatch(tf.cast(size, tf.int64))
    # Keras warns of data whose number of batches it does not know.
    rows = sum(len(y) for data in datasets for _, y in data)
    batches = batches.apply(
        tf.data.experimental.assert_cardinality(-(-rows // int(size)))
    )
    return batches.prefetch(tf.data.AUTOTUNE)
