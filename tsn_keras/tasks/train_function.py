"""The function that `fit` calls for each training step."""

import contextlib
import itertools
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
                self._functions[key] = make_step_function(
                    self._model,
                    self._model.train_step,
                    self._model.compiled_heads.tracing,
                )
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


def make_step_function(
    model: keras.Model,
    step: Callable,
    tracing: contextlib.AbstractContextManager,
) -> Callable:
    """Returns a function that runs a step on an iterator's next batch.

    TensorFlow looks for a function's trace in each call, by the types of all
    the variables it reads, which is felt in the steps of small networks. Here
    the trace of the first call is kept. Where that is not possible, for
    batches that are no data set's, several steps a call, several replicas or
    eager execution, the function is Keras' own.

    Args:
        step: Function of a batch, and of constants if there are any.
        tracing: Is held while the function may be traced.

    Returns:
        Function of an iterator whose batches are of one kind in all calls, and
        of the constants.
    """

    def step_on(data):
        return step(*data)

    general = keras_internals.multi_step_function(model, step)
    with_constants = keras_internals.multi_step_function(model, step_on)
    can_keep = (
        model.steps_per_execution == 1
        and not model.run_eagerly
        and not tf.distribute.has_strategy()
    )
    one_step = tf.function(
        step_on,
        autograph=False,
        reduce_retracing=True,
        jit_compile=model.jit_compile,
    )
    one_step = keras_internals.with_plain_optionals(model, one_step)

    @tf.function(autograph=False)
    def next_step(iterator, *constants):
        return one_step((iterator.get_next(), *constants))

    trace = None

    def function(iterator: Any, *constants: Any) -> Any:
        nonlocal trace
        is_data_set = isinstance(iterator, tf.data.Iterator)
        if can_keep and is_data_set and not tf.config.functions_run_eagerly():
            if trace is None:
                with tracing:
                    trace = next_step.get_concrete_function(
                        iterator, *constants
                    )
            return trace(iterator, *constants)
        with tracing:
            if not constants:
                return general(iterator)
            steps = model.steps_per_execution
            batches = list(itertools.islice(iterator, steps))
            if not batches:
                raise StopIteration
            return with_constants((batch, *constants) for batch in batches)

    return function
