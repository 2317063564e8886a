"""From a trained task to the record that the bank keeps."""

import warnings

import keras
import numpy as np

from tsn_keras.bank import Component, PrivateCode, TaskRecord
from tsn_keras.bank.component import FLOAT_WIDTH
from tsn_keras.installation import Installation
from tsn_keras.pruning import Pruning, refine
from tsn_keras.quantization import (
    AdaptiveCodebook,
    Codebook,
    place_all,
    search_widths,
    widen_worst,
)
from tsn_keras.running_task import RunningTask
from tsn_keras.validation import Validation

PRIVATE_WIDTHS = (4, 6, 8, 16, 32)
STAGES = ("prune", "quantize", "fine-tune", "store")


class Consolidation:
    """Prunes on, quantizes and packs one trained task.

    Every evaluation runs with exactly the kernels that inference will use.

    Args:
        task: `RunningTask`, with its final masks.
        installation: `Installation` with the task at work.
        validation: `Validation`.
        pruning: `Pruning` strategy or `None`.
        quantization: `AdaptiveCodebook` or `None` for float32 values.
        tune: function of own slots, codebooks and whether centroids move;
            fine-tunes centroids and private variables, returns codebooks.
            `None` if there is no data for it.
        verbose: int, 0 for silence.
    """

    def __init__(
        self,
        task: RunningTask,
        installation: Installation,
        validation: Validation,
        pruning: Pruning | None,
        quantization: AdaptiveCodebook | None,
        tune,
        verbose: int,
    ):
        self.task = task
        self.installation = installation
        self.validation = validation
        self.pruning = pruning
        self.quantization = quantization
        self.tune = tune
        self.progress = keras.utils.Progbar(
            len(STAGES), verbose=verbose, unit_name="stage"
        )
        self._kernels = [mask.effective() for mask in task.masks]
        self._own = [mask.own for mask in task.masks]
        self._shared = [mask.shared for mask in task.masks]
        self._installed: list = [None] * len(task.masks)

    def _quality(self, kernels: list[np.ndarray]) -> float:
        for index, kernel in enumerate(kernels):
            if kernel is not self._installed[index]:
                self.installation.kernels[index].install(kernel)
                self._installed[index] = kernel
        return self.validation.quality()

    def run(self) -> TaskRecord:
        """Returns what the bank is to store; the network computes with it."""
        before = acceptable = self._quality(self._kernels)
        for strategy in (self.pruning, self.quantization):
            acceptable -= getattr(strategy, "tolerance", None) or 0.0
        self._prune_on()
        self.progress.update(1)
        codebooks = None
        if self.quantization is not None:
            codebooks = self._quantize(acceptable)
        private = self._store_private(acceptable)
        after = self._quality(self._kernels)
        self.progress.update(len(STAGES))
        if after < acceptable:
            self._warn(before, after)
        return self._record(codebooks, private, before, after)

    def _warn(self, before: float, after: float) -> None:
        warnings.warn(
            f"Task '{self.task.name}': no width kept the quality within "
            f"tolerance; the best found has {self.validation.monitor} "
            f"{abs(after):.4f} instead of {abs(before):.4f}. Raise `max_width` "
            "or `tolerance`, or train and prune more gently.",
            stacklevel=5,
        )

    def _prune_on(self) -> None:
        if self.pruning is None or self.pruning.tolerance is None:
            return
        self._kernels, self._own = refine(
            self._kernels, self._own, self._quality, self.pruning.tolerance
        )

    def _quantize(self, acceptable: float) -> list[Codebook]:
        weights = self._kernels
        codebooks = search_widths(
            weights,
            self._own,
            self._quality,
            acceptable,
            self.quantization.min_width,
            self.task.widths,
            self.quantization.codebook,
        )
        self.progress.update(2)
        while True:
            codebooks, quality = self._tuned(weights, codebooks)
            if quality >= acceptable:
                break
            wider = widen_worst(
                weights,
                self._own,
                codebooks,
                self.task.widths,
                self.quantization.codebook,
            )
            if wider is None:
                break
            codebooks = wider
        self._kernels = place_all(weights, self._own, codebooks)
        self.progress.update(3)
        return codebooks

    def _tuned(self, weights, codebooks) -> tuple[list[Codebook], float]:
        """Fine-tunes, and takes the outcome back if it is no better."""
        quality = self._quality(place_all(weights, self._own, codebooks))
        if self.tune is None or not self.quantization.fine_tune_steps:
            return codebooks, quality
        private = self.installation.private_values()
        moves = self.quantization.codebook == "clustered"
        tuned = self.tune(self._own, codebooks, moves)
        tuned_quality = self._quality(place_all(weights, self._own, tuned))
        if tuned_quality >= quality:
            return tuned, tuned_quality
        self.installation.install_private(private)
        return codebooks, quality

    def _store_private(self, acceptable: float) -> list[PrivateCode]:
        """Finds the smallest width of private variables, and installs it."""
        values = self.installation.private_values()
        widths = PRIVATE_WIDTHS if self.quantization else (FLOAT_WIDTH,)
        for width in widths:
            codes = [PrivateCode.encode(value, width) for value in values]
            self.installation.install_private([c.decode() for c in codes])
            if self._quality(self._kernels) >= acceptable:
                break
        return codes

    def _record(self, codebooks, private, before, after) -> TaskRecord:
        components = []
        for index, mask in enumerate(self.task.masks):
            if codebooks is None:
                quantized = {"width": FLOAT_WIDTH}
            else:
                codebook = codebooks[index]
                quantized = {
                    "width": codebook.width,
                    "codebook": codebook.centroids,
                    "codes": codebook.codes,
                }
            component = Component.encode(
                self._own[index],
                self._shared[index],
                mask.owned,
                self._kernels[index],
                **quantized,
            )
            components.append(component)
        sign = self.validation.sign
        return TaskRecord(
            name=self.task.name,
            planes=(self.task.plane,) * len(components),
            head=self.task.head,
            components=tuple(components),
            private=tuple(private),
            statistics=np.zeros(0, np.float16),
            facts={
                "nearest": self.task.nearest,
                "divergence": self.task.divergence,
                "monitor": self.validation.monitor,
                "before": round(sign * before, 6),
                "after": round(sign * after, 6),
            },
        )
