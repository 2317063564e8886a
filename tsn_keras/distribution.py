"""Tasks under the strategies of `tf.distribute`."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import tree


def in_strategy_scope(method: Callable) -> Callable:
    """Lets a method of a model create variables as its strategy does.

    The variables of heads, optimizers and fine-tuning come when a task needs
    them, long after the user's own `with strategy.scope()`.
    """

    @functools.wraps(method)
    def scoped(self, *args, **kwargs):
        with self.distribute_strategy.scope():
            return method(self, *args, **kwargs)

    return scoped


def has_workers(strategy: tf.distribute.Strategy) -> bool:
    """Tells whether a strategy trains in several processes."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    here = len(strategy.extended.worker_devices)
    return strategy.num_replicas_in_sync > here


def local_batch(iterator: Any) -> Any:
    """Returns a batch as one replica gets it, from Keras' epoch iterator."""
    for _, _, batches in iterator:
        return tree.map_structure(
            lambda part: getattr(part, "values", (part,))[0], next(batches)
        )


def with_axis(step: Callable) -> Callable:
    """Adds an axis to the scalars that a step returns.

    Keras 3.15 takes the mean of a step's metrics over all workers along
    their first axis, which scalars do not have.
    """

    def step_with_axis(data):
        return tree.map_structure(lambda v: tf.reshape(v, (1,)), step(data))

    return step_with_axis


def _reduce(reduction: str, value: Any, others: Any) -> Any:
    """Reduces the first replica's value and those of all others."""
    strategy = tf.distribute.get_strategy()
    values = strategy.experimental_distribute_values_from_function(
        lambda context: others if context.replica_id_in_sync_group else value
    )
    return strategy.reduce(reduction, values, axis=None).numpy()


def mean_over_workers(value: float) -> float:
    """Returns the mean of a number over all workers, the same on all of them.

    So workers decide the same by it, even if they have read the data in
    different orders.
    """
    if not has_workers(tf.distribute.get_strategy()):
        return value
    value = tf.constant(value, tf.float64)
    return float(_reduce("MEAN", value, value))


def of_first_worker(arrays: Any) -> Any:
    """Returns the first worker's arrays on all workers.

    Shapes must be the same on all of them.
    """
    if not has_workers(tf.distribute.get_strategy()):
        return arrays

    def send(array):
        # Collective operations know few types, and float64 holds all numbers
        # of up to 32 bits.
        value = tf.constant(array, tf.float64)
        total = _reduce("SUM", value, tf.zeros_like(value))
        return total.astype(array.dtype)

    return tree.map_structure(send, arrays)
