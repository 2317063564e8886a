"""The validated quality of what is installed."""

from typing import Any

import keras
import numpy as np
from keras import tree

from tsn_keras.data import (
    BatchLoop,
    check_several_classes,
    evaluation_batches,
    joined,
    num_rows,
    stacked,
    unstacked,
)
from tsn_keras.distribution import mean_over_workers, of_first_worker
from tsn_keras.keras_internals import metric_direction
from tsn_keras.tasks import checks
from tsn_keras.tasks.task_switch import TaskSwitch

MODES = ("auto", "min", "max")
LOWER_IS_BETTER = (
    *("loss", "error", "mse", "mae", "mape", "msle", "perplexity"),
    *("crossentropy", "divergence", "false_negatives", "false_positives"),
)


def evaluation_loop(model: keras.Model) -> BatchLoop:
    """Returns the loop that evaluates batches with a model's test step."""
    return BatchLoop(
        model.test_step, model.get_metrics_result, model.run_eagerly
    )


def _numbers(results: dict) -> dict[str, float]:
    """Returns the results that are one number each.

    A metric may have a value for each class, or several with their names.
    """
    numbers = {}
    for name, value in results.items():
        if isinstance(value, dict):
            numbers.update(_numbers(value))
        elif not np.ndim(value):
            numbers[name] = float(value)
    return numbers


def is_lower_better(monitor: str, metrics: list[keras.Metric]) -> bool:
    """Tells whether a quality is better if it is lower."""
    for metric in metrics:
        # Compiled metrics are one, which holds them all.
        for one in getattr(metric, "metrics", [metric]):
            direction = metric_direction(one)
            # The metric of one output has the output's name before its.
            named = f"_{monitor}".endswith(f"_{one.name}")
            if named and direction is not None:
                return direction == "down"
    return any(word in monitor for word in LOWER_IS_BETTER)


class Validation:
    """Evaluates the model on validation data as often as needed.

    The batches are read once, and evaluated in one call of a function that
    runs the model's own test step on them: every compiled loss and metric
    can be the quality.

    Args:
        data: Validation data in any form that `fit` takes.
        monitor: The name of the quality. By default the first compiled metric,
            or `loss` if there is none or if the head has several outputs.
        mode: `"max"` or `"min"`, whether higher or lower is better, or
            `"auto"` to tell it as callbacks do: by the metric's own direction
            if it has one, else by its name.

    Attributes:
        initial: The quality of the model as it was given.
        loss: The loss that was validated with the last quality.

    Raises:
        ValueError: If the data or `monitor` cannot be used, or the quality is
            NaN.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Any,
        loop: BatchLoop,
        monitor: str | None = None,
        mode: str = "auto",
    ):
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {MODES}. Received: {mode}")
        self.loss: float | None = None
        self._mode = mode
        self._model = model
        self._loop = loop
        self._stacks = list(stacked(evaluation_batches(data)))
        if not self._stacks:
            raise ValueError("`validation_data` is empty. Give some examples.")
        labels = []
        self.num_examples = 0
        for batch in unstacked(self._stacks):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            checks.check_examples(model, x, y, ("validation_data",) * 2)
            self.num_examples += num_rows(x)
            labels.append(y)
        check_several_classes(labels, model.loss)
        results = self.results()
        self.monitor = monitor
        if monitor is None:
            self.monitor = self._first_metric(results)
        if self.monitor not in results:
            raise ValueError(
                f"`monitor` must be one of {sorted(results)}. Received: "
                f"monitor='{monitor}'. Compile the model with that metric."
            )
        self.initial = self._quality_of(results)

    @staticmethod
    def _first_metric(results: dict[str, float]) -> str:
        metrics = [name for name in results if name != "loss"]
        # Each of several outputs has a loss; one output's metric is too little.
        several = any(name.endswith("_loss") for name in metrics)
        return metrics[0] if metrics and not several else "loss"

    @property
    def sign(self) -> float:
        """1.0 if higher is better, else -1.0."""
        if self._mode == "auto":
            lower = is_lower_better(self.monitor, self._model.metrics)
        else:
            lower = self._mode == "min"
        return -1.0 if lower else 1.0

    def results(self) -> dict[str, float]:
        """Returns loss and metrics on the validation data."""
        self._model.reset_metrics()
        for stack in self._stacks:
            results = self._loop(stack)
        return _numbers(results)

    def sample(self, rows: int) -> Any:
        """Returns the inputs of about `rows` examples, in one batch."""
        inputs, taken = [], 0
        for batch in unstacked(self._stacks):
            inputs.append(keras.utils.unpack_x_y_sample_weight(batch)[0])
            taken += num_rows(inputs[-1])
            if taken >= rows:
                break
        inputs = tree.map_structure(lambda part: part[:rows], joined(inputs))
        return of_first_worker(inputs)

    def quality(self) -> float:
        """Returns the quality; higher is better. Notes the loss beside it.

        Raises:
            ValueError: If it is NaN.
        """
        return self._quality_of(self.results())

    def recall_loss(self, loss: float | None) -> None:
        """Takes over the loss of something validated before."""
        self.loss = loss

    def _quality_of(self, results: dict[str, float]) -> float:
        for name in (self.monitor, "loss"):
            # A subclass may have no metric named `loss`.
            if np.isnan(results.get(name, 0.0)):
                raise ValueError(
                    f"The validated {name} is NaN: the training has diverged. "
                    "Train the task again with a lower learning rate."
                )
        if "loss" in results:
            self.loss = mean_over_workers(results["loss"])
        return mean_over_workers(self.sign * results[self.monitor])


class Quality:
    """Installs what consolidation tries, and validates it if it is new.

    What is the same as before, to the bit, is not installed again; and where
    nothing is installed anew, the quality is known.

    Args:
        validation: It has validated that task as it is.
        kernels: What the network computes with so far.
    """

    def __init__(
        self,
        switch: TaskSwitch,
        validation: Validation,
        kernels: list[np.ndarray],
    ):
        self._switch = switch
        self._validation = validation
        self._installed: list = [None] * len(kernels)
        self._install(kernels)
        # `None` where what is installed has not been validated yet.
        self._known: float | None = validation.initial

    @property
    def loss(self) -> float | None:
        """The loss that was validated with the last quality."""
        return self._validation.loss

    def __call__(self, kernels: list[np.ndarray]) -> float:
        """Returns the quality with these kernels; higher is better."""
        self._install(kernels)
        if self._known is None:
            self._known = self._validation.quality()
        return self._known

    def forget(self) -> None:
        """To be called when private variables were changed elsewhere."""
        self._known = None

    def private_values(self) -> list[np.ndarray]:
        """Returns the private variables that are installed."""
        return self._switch.private_values()

    def install_private(self, values: list[np.ndarray]) -> None:
        """Installs other private variables."""
        self._switch.install_private(values)
        self._known = None

    def put_back(
        self,
        kernels: list[np.ndarray],
        private: list[np.ndarray],
        quality: float,
        loss: float | None,
    ) -> None:
        """Installs what was validated before, with what was found then."""
        self.install_private(private)
        self._install(kernels)
        self._known = quality
        self._validation.recall_loss(loss)

    def _install(self, kernels: list[np.ndarray]) -> None:
        for index, kernel in enumerate(kernels):
            before = self._installed[index]
            if before is None or not _same_bits(kernel, before):
                installed = self._switch.kernels[index]
                installed.install(kernel, is_stored=before is not None)
                self._installed[index] = kernel
                self._known = None


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    if one is other or one.dtype != other.dtype:
        return one is other
    bits = f"u{one.itemsize}"
    return np.array_equal(one.view(bits), other.view(bits))
