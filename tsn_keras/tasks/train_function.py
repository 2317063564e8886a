"""The function that `fit` calls for each training step."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tsn_keras import keras_internals


class TrainFunction:
    """Runs training steps, with one trace for each shape of batches.

    A function that was traced for another shape first may round another way.
    Then what a task learns would depend on the shapes of earlier ones, and on
    whether the model was loaded in between.

    Steps in which scores learn have traces of their own.

    After each call the `Training` that is going on is told what came out of
    it. For a hook at the end of batches Keras would wait for the metrics of
    each step, or hand them to another thread, which in small networks costs
    as much as a twentieth of the step.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._functions: dict[tuple[str, bool], Callable] = {}
        # The same specification comes with each step of an epoch.
        self._last: tuple[Any, bool] = (object(), False)
        self._function: Callable | None = None

    def __call__(self, iterator: Any) -> Any:
        training = self._model.training
        spec = getattr(iterator, "element_spec", None)
        scores = training is None or training.scores_learn()
        if spec is not self._last[0] or scores is not self._last[1]:
            self._model.switch.admit_batches(spec)
            key = repr(spec), scores
            if key not in self._functions:
                step = self._model.train_step
                self._functions[key] = make_step_function(self._model, step)
            self._last, self._function = (spec, scores), self._functions[key]
        if scores:
            outputs = self._function(iterator)
        else:
            with self._fixed_scores():
                outputs = self._function(iterator)
        if training is not None:
            training.after_step(outputs)
        return outputs

    @contextlib.contextmanager
    def _fixed_scores(self) -> Iterator[None]:
        """Traces functions that leave the scores alone."""
        # Scores that a user has frozen stay so.
        kernels = self._model.switch.kernels
        learning = [kernel for kernel in kernels if kernel.learns_scores]
        with contextlib.ExitStack() as stack:
            for kernel in learning:
                stack.enter_context(kernel.fixed_scores())
            yield


def make_step_function(model: keras.Model, step: Callable) -> Callable:
    """Returns a function that runs a step on an iterator's next batch.

    TensorFlow looks for a function's trace in each call, by the types of all
    the variables it reads, which is felt in the steps of small networks. Here
    the trace of the first call is kept. Where that is not possible, for
    batches that are no data set's, several steps a call, several replicas or
    eager execution, the function is Keras' own.

    Returns:
        Function of an iterator whose batches are of one kind in all calls.
    """
    general = keras_internals.multi_step_function(model, step)
    one_by_one = model.steps_per_execution == 1
    if model.run_eagerly or not one_by_one or tf.distribute.has_strategy():
        return general
    one_step = tf.function(
        step,
        autograph=False,
        reduce_retracing=True,
        jit_compile=model.jit_compile,
    )
    one_step = keras_internals.with_plain_optionals(model, one_step)

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
