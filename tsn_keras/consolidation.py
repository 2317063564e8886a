"""From a trained task to the record that the bank keeps."""

import math
import warnings

import keras
import numpy as np

from tsn_keras.bank import FLOAT_WIDTH, Component, PrivateCode, TaskRecord
from tsn_keras.installation import Installation
from tsn_keras.installed_quality import InstalledQuality
from tsn_keras.private_storage import PrivateStorage
from tsn_keras.pruning import Pruning, largest, refine
from tsn_keras.quantization import (
    AdaptiveCodebook,
    Codebook,
    place_all,
    search_widths,
    widen_worst,
)
from tsn_keras.running_task import RunningTask
from tsn_keras.task_packing import make_record, pack_kernels
from tsn_keras.validation import Validation

# Widths may lose so many tolerances more at first: fine-tuning may win it back,
# and a kernel gets more bits if it does not.
WON_BACK = 2.0
# By this part of a budget codes may be too wide at first. The smallest weights
# make room for them, which fine-tuning can make up for.
BUDGET_EXCESS = 0.1
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
        reference: list of bool arrays or `None`, the slots that the task's
            reference uses.
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
        reference: list[np.ndarray] | None = None,
    ):
        self.reference = reference
        self.task = task
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
        self._quality = InstalledQuality(
            installation, validation, self._kernels
        )

    def run(self) -> TaskRecord:
        """Returns what the bank is to store; the network computes with it."""
        before = acceptable = self.validation.initial
        for strategy in (self.pruning, self.quantization):
            acceptable -= getattr(strategy, "tolerance", None) or 0.0
        self._prune_on()
        pruned = self._quality(self._kernels)
        self.progress.update(1)
        codebooks = None
        if self.quantization is not None:
            codebooks = self._quantize(acceptable)
        codebooks = self._keep_budget(codebooks)
        quantized = self._quality(self._kernels)
        private = self._store_private(acceptable)
        after = self._quality(self._kernels)
        self.progress.update(len(STAGES))
        if max(quantized, after) < acceptable:
            self._warn(before, after)
        return self._record(codebooks, private, (before, pruned, after))

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
            self._kernels,
            self._own,
            self._quality,
            self.pruning.tolerance,
        )

    def _keep_budget(
        self, codebooks: list[Codebook] | None
    ) -> list[Codebook] | None:
        """Drops own slots until the kernels' bytes keep the budget."""
        budget = getattr(self.pruning, "budget", None)
        while budget is not None:
            components = self._components(codebooks)
            taken = sum(component.num_bytes for component in components)
            if taken <= budget or all(own.sum() < 2 for own in self._own):
                break
            codebooks = self._without_smallest(codebooks, 0.99 * budget / taken)
        return codebooks

    def _without_smallest(
        self, codebooks: list[Codebook] | None, fraction: float
    ) -> list[Codebook] | None:
        """Keeps a fraction of each kernel's own slots, the largest ones."""
        if codebooks is not None:
            codebooks = list(codebooks)
        for index, own in enumerate(self._own):
            count = max(1, int(fraction * own.sum()))
            kept = largest(self._kernels[index], min(count, own.sum()), own)
            self._kernels[index] = np.where(
                own & ~kept, np.float32(0), self._kernels[index]
            )
            if codebooks is not None:
                codebooks[index] = codebooks[index].subset(kept[own])
            self._own[index] = kept
        return codebooks

    def _quantize(self, acceptable: float) -> list[Codebook]:
        weights = self._kernels
        hopeful = acceptable
        if self.tune is not None:
            hopeful -= WON_BACK * self.quantization.tolerance
        codebooks = search_widths(
            weights,
            self._own,
            self._quality,
            hopeful,
            self.quantization.min_width,
            self.task.widths,
            self.quantization.codebook,
            self._max_bits(1 + BUDGET_EXCESS),
        )
        codebooks = self._keep_budget(codebooks)
        self.progress.update(2)
        best = None
        while True:
            codebooks, quality = self._tuned(weights, codebooks)
            if best is None or quality > best[0]:
                values = self._quality.private_values()
                best = quality, codebooks, values
            if quality >= acceptable:
                break
            wider = widen_worst(
                weights,
                self._own,
                codebooks,
                self.task.widths,
                self.quantization.codebook,
                self._max_bits(1.0),
            )
            if wider is None:
                break
            codebooks = wider
        # Where none is acceptable, the narrowest of the best.
        if codebooks is not best[1]:
            _, codebooks, values = best
            self._quality.install_private(values)
        self._kernels = place_all(weights, self._own, codebooks)
        self.progress.update(3)
        return codebooks

    def _max_bits(self, part: float) -> float:
        """Returns how many bits codes may take, by a part of the budget."""
        budget = getattr(self.pruning, "budget", None)
        if budget is None:
            return math.inf
        masks = sum(
            len(component.own_mask) + len(component.shared_mask)
            for component in self._components(None)
        )
        return 8 * (part * budget - masks)

    def _tuned(self, weights, codebooks) -> tuple[list[Codebook], float]:
        """Fine-tunes, and takes the outcome back if it is no better."""
        placed = place_all(weights, self._own, codebooks)
        quality = self._quality(placed)
        if self.tune is None:
            return codebooks, quality
        loss = self._quality.loss
        private = self._quality.private_values()
        moves = self.quantization.codebook == "clustered"
        tuned = self.tune(self._own, codebooks, moves)
        self._quality.forget()
        tuned_quality = self._quality(place_all(weights, self._own, tuned))
        if tuned_quality >= quality:
            return tuned, tuned_quality
        self._quality.put_back(placed, private, quality, loss)
        return codebooks, quality

    def _store_private(self, promised: float) -> list[PrivateCode]:
        if self.quantization is not None:
            return PrivateStorage(
                self._quality,
                self._kernels,
                self.quantization.tolerance,
                self.validation.num_examples,
            ).run(promised)
        values = self._quality.private_values()
        codes = [PrivateCode.encode(value, FLOAT_WIDTH) for value in values]
        self._quality.install_private([code.decode() for code in codes])
        return codes

    def _components(self, codebooks) -> list[Component]:
        return pack_kernels(
            self.task.masks,
            self._own,
            self._shared,
            self._kernels,
            codebooks,
            self.reference,
        )

    def _record(self, codebooks, private, qualities) -> TaskRecord:
        components = self._components(codebooks)
        return make_record(
            self.task, components, private, self.validation, qualities
        )
