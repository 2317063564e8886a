"""The validated quality of what is installed."""

import re
import warnings
from typing import Any

import keras
import numpy as np
from keras import tree

from tsn_keras.data import (
    BatchLoop,
    check_several_classes,
    commonest_share,
    evaluation_batches,
    joined,
    num_rows,
    stacked,
    take_rows,
    unstacked,
)
from tsn_keras.distribution import mean_over_workers, of_first_worker
from tsn_keras.keras_internals import metric_direction
from tsn_keras.tasks import checks
from tsn_keras.tasks.task_switch import TaskSwitch

MODES = ("auto", "min", "max")
# What the words of a name say, where the metric itself says nothing.
LOWER_IS_BETTER = frozenset(
    ("loss", "error", "mse", "rmse", "mae", "mape", "msle", "perplexity")
    + ("crossentropy", "entropy", "divergence", "distance", "deviation")
    + ("false", "negatives", "positives", "nll", "cer", "wer")
)
HIGHER_IS_BETTER = frozenset(
    ("accuracy", "acc", "auc", "precision", "recall", "f1", "iou", "dice")
    + ("score", "psnr", "ssim", "bleu", "rouge", "similarity", "true", "r2")
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


def _by_name(metrics: list[keras.Metric]) -> dict[str, keras.Metric]:
    """Returns metrics by the names that their results have."""
    named = {}
    for metric in metrics:
        results = metric.result()
        if not isinstance(results, dict):
            named[metric.name] = metric
            continue
        # Compiled metrics are one, which holds them all in order.
        parts = getattr(metric, "metrics", None) or [metric] * len(results)
        for (name, value), part in zip(results.items(), parts):
            names = value if isinstance(value, dict) else [name]
            named.update(dict.fromkeys(names, part))
    return named


def is_lower_better(monitor: str, metrics: list[keras.Metric]) -> bool:
    """Tells whether a quality is better if it is lower.

    The metric of exactly that name says so, or else the words of the name.
    """
    if monitor == "loss":
        return True
    metric = _by_name(metrics).get(monitor)
    direction = None if metric is None else metric_direction(metric)
    if direction is not None:
        return direction == "down"
    words = set(re.findall("[a-z]+[0-9]?", monitor.lower()))
    lower, higher = words & LOWER_IS_BETTER, words & HIGHER_IS_BETTER
    if bool(lower) == bool(higher):
        warnings.warn(
            f"Nothing says whether a higher '{monitor}' is better or a lower "
            f"one. It is taken that {'lower' if lower else 'higher'} is. Give "
            "`mode='min'` or `mode='max'`.",
            stacklevel=2,
        )
    return bool(lower)


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
        sign: 1.0 if a higher quality is better, else -1.0.
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
        self._model = model
        self._loop = loop
        batches = evaluation_batches(data, model.switch.batch_size)
        self._stacks = list(stacked(batches))
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
        self._labels = labels
        self.monitor = monitor
        if monitor is None:
            self.monitor = self._first_metric(results)
        if self.monitor not in results:
            raise ValueError(
                f"`monitor` must be one of {sorted(results)}. Received: "
                f"monitor='{monitor}'. Compile the model with that metric."
            )
        if mode == "auto":
            lower = is_lower_better(self.monitor, model.metrics)
        else:
            lower = mode == "min"
        # 1.0 if higher is better, else -1.0.
        self.sign = -1.0 if lower else 1.0
        self.initial = self._quality_of(results)

    @property
    def chance(self) -> float | None:
        """The accuracy of the commonest class, if it is an accuracy."""
        if "accuracy" not in self.monitor and self.monitor != "acc":
            return None
        return commonest_share(self._labels)

    def _first_metric(self, results: dict[str, float]) -> str:
        metrics = [name for name in results if name != "loss"]
        # One metric of several outputs is too little.
        outputs = self._model.heads.head(self._model.switch.features)
        several = len(tree.flatten(outputs)) > 1
        return metrics[0] if metrics and not several else "loss"

    def results(self) -> dict[str, float]:
        """Returns loss and metrics on the validation data."""
        self._model.reset_metrics()
        for stack in self._stacks:
            results = self._loop(stack)
        return _numbers(results)

    def of(self, data: Any) -> "Validation":
        """Returns the validation of the same quality on other data."""
        mode = "max" if self.sign > 0 else "min"
        return Validation(self._model, data, self._loop, self.monitor, mode)

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

    def examples(self, rows: int) -> Any:
        """Returns `(x, y)` of examples from all over the data, in one batch.

        Args:
            rows: As many are taken, where there are so many of one shape.
        """
        wanted = np.linspace(0, self.num_examples - 1, rows).astype(int)
        found, start = [], 0
        for batch in unstacked(self._stacks):
            count = num_rows(batch)
            here = wanted[(wanted >= start) & (wanted < start + count)] - start
            if here.size:
                x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
                found.append(take_rows((x,) if y is None else (x, y), here))
            start += count
        x, *y = joined(found)
        return x, (y[0] if y else None)

    def quality(self, or_nan: bool = False) -> float:
        """Returns the quality; higher is better. Notes the loss beside it.

        Args:
            or_nan: Whether it may be NaN, as after a training that diverged.

        Raises:
            ValueError: If it is NaN and must not be.
        """
        return self._quality_of(self.results(), or_nan)

    def recall_loss(self, loss: float | None) -> None:
        """Takes over the loss of something validated before."""
        self.loss = loss

    def _quality_of(
        self, results: dict[str, float], or_nan: bool = False
    ) -> float:
        for name in (self.monitor, "loss"):
            # A subclass may have no metric named `loss`.
            if np.isnan(results.get(name, 0.0)):
                if or_nan:
                    return np.nan
                raise ValueError(
                    f"The validated {name} is NaN: the training has diverged, "
                    "or labels are NaN and this metric counts them. Train the "
                    "task again with a lower learning rate, or give `monitor` "
                    "a metric that leaves such labels out."
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

    def recall(self, quality: float) -> None:
        """To be called where what is installed was validated elsewhere."""
        self._known = quality

    def forget(self) -> None:
        """To be called when something was changed elsewhere."""
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
                # Nothing is known to be installed if this is interrupted.
                self._installed[index] = None
                installed.install(kernel, is_stored=before is not None)
                self._installed[index] = kernel
                self._known = None


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    if one is other or one.dtype != other.dtype:
        return one is other
    bits = f"u{one.itemsize}"
    return np.array_equal(one.view(bits), other.view(bits))
