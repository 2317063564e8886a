"""The function that runs training steps, whose trace is found only once."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def make_step_function(model: keras.Model, step: Callable) -> Callable:
    """Returns a function that runs a step on an iterator's next batch.

    TensorFlow looks for a function's trace in each call, by the types of all
    the variables it reads, which is felt in the steps of small networks. Here
    the trace of the first call is kept. Where that is not possible, for
    batches that are no data set's, several steps a call, several replicas or
    eager execution, the function is Keras' own.

    Args:
        model: `keras.Model`, compiled.
        step: function of a batch, such as `model.train_step`.

    Returns:
        Function of an iterator whose batches are of one kind in all calls.
    """
    general = model._make_function(step)
    one_by_one = model.steps_per_execution == 1
    if model.run_eagerly or not one_by_one or tf.distribute.has_strategy():
        return general
    one_step = tf.function(
        step,
        autograph=False,
        reduce_retracing=True,
        jit_compile=model.jit_compile,
    )
    one_step = model._autoconvert_optionals(one_step)

    @tf.function(autograph=False)
    def next_step(iterator):
        return one_step(iterator.get_next())

    trace = None

    def function(iterator: Any) -> Any:
        nonlocal trace
        is_data_set = isinstance(iterator, tf.data.Iterator)
        if not is_data_set or tf.config.functions_run_eagerly():
            return general(iterator)
        if trace is None:
            trace = next_step.get_concrete_function(iterator)
        return trace(iterator)

    return function
