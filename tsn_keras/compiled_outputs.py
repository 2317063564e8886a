"""Losses and metrics, anew for each shape of outputs."""

from typing import Any

import keras
from keras import tree


class CompiledOutputs:
    """What `compile` was given for outputs, to be built for heads that differ.

    Keras builds losses and metrics once, for the outputs it sees first:
    `F1Score` then counts as many classes as they have, and a loss for each of
    two outputs takes no single one. Here heads whose outputs have one shape
    share them, as instances of a metric that a user holds expects, and others
    get their own.

    Args:
        loss: as `keras.Model.compile` takes it, like the others.
        loss_weights: see there.
        metrics: see there.
        weighted_metrics: see there.
    """

    def __init__(
        self, loss=None, loss_weights=None, metrics=None, weighted_metrics=None
    ):
        self._loss = (loss, loss_weights)
        self._metrics = (metrics, weighted_metrics)
        self._built: dict[str, tuple[Any, Any]] = {}

    def exchange(
        self, model: keras.Model, before: str | None, after: str | None
    ) -> None:
        """Gives a model the losses and metrics of other outputs.

        Args:
            model: `keras.Model`, compiled.
            before: str, what the outputs are that it has had, or `None`.
            after: str, what they are from now on, or `None`.
        """
        if before is None or after is None or before == after:
            return
        loss, metrics = model._compile_loss, model._compile_metrics
        self._built[before] = loss, metrics
        if after not in self._built:
            fresh = tree.map_structure(_fresh, self._metrics)
            self._built[after] = (
                loss and type(loss)(*self._loss),
                metrics and type(metrics)(*fresh),
            )
        # As in `compile`: Keras does not track these.
        for name, part in zip(
            ("_compile_loss", "_compile_metrics"), self._built[after]
        ):
            object.__setattr__(model, name, part)


def kind_of_outputs(outputs: Any) -> str:
    """Returns what heads must have in common to share losses and metrics.

    Args:
        outputs: nest of `KerasTensor`.
    """
    return str(tree.map_structure(lambda part: part.shape, outputs))


def _fresh(metric: Any) -> Any:
    """Returns a metric of the same configuration that has counted nothing."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except TypeError:
        # A user's own without configuration. It counts for all heads.
        return metric
