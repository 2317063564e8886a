"""The one place that imports TF Model Optimization.

Importing tfmot sets the environment variable `TF_USE_LEGACY_KERAS`, for this
process and its children, and makes `tf.keras` mean Keras 2 if it was not used
before. Here tfmot is imported when it is first needed, and both are left as
they were.
"""

import functools
import os
import threading
from types import ModuleType

import keras
import tensorflow as tf

_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
_importing = threading.Lock()


@functools.cache
def _tfmot() -> ModuleType:
    tf.keras.layers  # Resolves the lazy module to Keras 3 for good.
    with _importing:
        before = os.environ.get(_LEGACY_KERAS)
        try:
            import tensorflow_model_optimization
        finally:
            if before is None:
                os.environ.pop(_LEGACY_KERAS, None)
            else:
                os.environ[_LEGACY_KERAS] = before
        return tensorflow_model_optimization


@functools.lru_cache(maxsize=256)
def cubic_schedule(
    sparsity: float,
    begin_step: int,
    end_step: int,
    frequency: int,
    initial_sparsity: float = 0.0,
):
    """Returns tfmot's `PolynomialDecay` of power 3, from dense by default.

    Kernels with the same target get the same object.
    """
    return _tfmot().sparsity.keras.PolynomialDecay(
        initial_sparsity=initial_sparsity,
        final_sparsity=sparsity,
        begin_step=begin_step,
        end_step=end_step,
        power=3,
        frequency=frequency,
    )


@functools.lru_cache(maxsize=256)
def constant_schedule(sparsity: float, frequency: int):
    """Returns tfmot's `ConstantSparsity` of all steps, without an end."""
    return _tfmot().sparsity.keras.ConstantSparsity(
        sparsity, begin_step=0, end_step=-1, frequency=frequency
    )


def is_schedule(value) -> bool:
    """Tells whether a value is a tfmot `PruningSchedule`."""
    return isinstance(value, _tfmot().sparsity.keras.PruningSchedule)


def schedule_from_config(config: dict):
    """Returns the tfmot schedule that `schedule.get_config()` describes.

    The user's own classes must be registered with Keras.
    """
    name = config["class_name"]
    schedule_class = getattr(
        _tfmot().sparsity.keras, name, None
    ) or keras.saving.get_registered_object(name)
    if schedule_class is None:
        raise ValueError(
            f"Unknown pruning schedule '{name}'. Load it within "
            f"`keras.saving.custom_object_scope({{'{name}': {name}}})`, or "
            "take one of tensorflow_model_optimization.sparsity.keras."
        )
    return schedule_class.from_config(config["config"])


def schedule_sparsity(schedule, step: int) -> float:
    """Returns the sparsity of a schedule at `step`.

    A schedule also says at which steps masks are updated. Only the beginning
    of that counts here: before `begin_step` the network is dense.
    """
    if step < getattr(schedule, "begin_step", 0):
        return 0.0
    return _sparsity(schedule, step)


def schedule_end(schedule) -> int | None:
    """Returns the step after which a schedule changes no mask.

    `None` if the schedule has no end, or does not say where it is.
    """
    end_step = getattr(schedule, "end_step", None)
    return None if end_step is None or end_step < 0 else int(end_step)


@functools.lru_cache(maxsize=256)
def _sparsity(schedule, step: int) -> float:
    # A schedule takes a dozen small operations. At every update of the masks
    # all kernels with an equal schedule share one evaluation.
    _, sparsity = schedule(tf.constant(step, tf.int64))
    return float(sparsity)


def clustering_algorithm(centroids: tf.Variable):
    """Returns tfmot's `ClusteringAlgorithm` over one codebook.

    The gradients of a cluster's weights are summed into its centroid.
    """
    _tfmot()
    from tensorflow_model_optimization.python.core.clustering.keras import (
        clustering_algorithm as algorithms,
    )

    return algorithms.ClusteringAlgorithm(centroids)
