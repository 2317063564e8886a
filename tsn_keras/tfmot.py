"""The one place that imports TF Model Optimization.

Importing tfmot sets the environment variable `TF_USE_LEGACY_KERAS`, for this
process and its children, and lets `tf.keras` mean Keras 2 wherever it was not
touched before. Here it is imported when it is first needed and both are left
as they were.
"""

import functools
import os
from types import ModuleType

import tensorflow as tf

_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"


@functools.cache
def _tfmot() -> ModuleType:
    tf.keras.__version__  # Resolves the lazy module to Keras 3 for good.
    before = os.environ.get(_LEGACY_KERAS)
    try:
        import tensorflow_model_optimization
    finally:
        if before is None:
            os.environ.pop(_LEGACY_KERAS, None)
        else:
            os.environ[_LEGACY_KERAS] = before
    return tensorflow_model_optimization


def cubic_schedule(
    sparsity: float, begin_step: int, end_step: int, frequency: int
):
    """Returns tfmot's `PolynomialDecay` of power 3 from dense to `sparsity`."""
    return _tfmot().sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=sparsity,
        begin_step=begin_step,
        end_step=end_step,
        power=3,
        frequency=frequency,
    )


def is_schedule(value) -> bool:
    """Tells whether a value is a tfmot `PruningSchedule`."""
    return isinstance(value, _tfmot().sparsity.keras.PruningSchedule)


def schedule_from_config(config: dict):
    """Returns the tfmot schedule that `schedule.get_config()` describes."""
    schedules = _tfmot().sparsity.keras
    schedule_class = getattr(schedules, config["class_name"], None)
    if schedule_class is None:
        raise ValueError(
            f"Unknown pruning schedule '{config['class_name']}'. Only the "
            "schedules of tensorflow_model_optimization.sparsity.keras can be "
            "loaded."
        )
    return schedule_class.from_config(config)


def schedule_values(schedule, step: int) -> tuple[bool, float]:
    """Returns whether a schedule prunes at `step`, and its sparsity then."""
    prunes, sparsity = schedule(tf.constant(step, tf.int64))
    return bool(prunes), float(sparsity)


def clustering_algorithm(centroids: tf.Variable):
    """Returns tfmot's `ClusteringAlgorithm` over one codebook.

    The gradients of a cluster's weights are summed into its centroid.
    """
    from_package = _tfmot()
    del from_package
    from tensorflow_model_optimization.python.core.clustering.keras import (
        clustering_algorithm as algorithms,
    )

    return algorithms.ClusteringAlgorithm(centroids)
