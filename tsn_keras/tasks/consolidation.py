"""From a trained task to the record that the bank keeps."""

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from tsn_keras.bank import FLOAT_WIDTH, PrivateCode, TaskRecord
from tsn_keras.data import (
    check_strings,
    check_verbose,
    in_full_batches,
    joined,
    num_rows,
    take_rows,
)
from tsn_keras.inference import get_scores, learned, needs_outputs
from tsn_keras.pruning import AdaptiveSparsity, largest, refine
from tsn_keras.quantization import (
    Codebook,
    place_all,
    search_private_widths,
    search_widths,
    widen_worst,
)
from tsn_keras.tasks import call_arguments
from tsn_keras.tasks.fine_tuning import fine_tuning_of
from tsn_keras.tasks.kept_examples import rows_to_keep
from tsn_keras.tasks.pruning_rounds import (
    BISECTIONS,
    PruningRounds,
    finish_schedule,
)
from tsn_keras.tasks.quality import Quality, Validation, evaluation_loop
from tsn_keras.tasks.report import TaskReport
from tsn_keras.tasks.stage_progress import StageProgress
from tsn_keras.tasks.task_inference import (
    BATCH,
    MOST_EXAMPLES,
    has_probabilities,
)
from tsn_keras.tasks.tolerance import (
    PRIVATE_SHARE,
    PRUNING_SHARE,
    QUANTIZATION_SHARE,
    Tolerance,
)
from tsn_keras.tasks.training import TaskBefore, checked_training_data

# Widths may lose so many tolerances more at first: fine-tuning may win it back,
# and a kernel gets more bits if it does not.
WON_BACK = 2.0
# By this part of a budget codes may be too wide at first. The smallest weights
# make room for them, which fine-tuning can make up for.
BUDGET_EXCESS = 0.1
# The part by which private variables may raise the loss, which decides in place
# of the quality where that would be less than one example, and so a matter of
# chance.
RAISED_LOSS = 0.02
# Where a loss of quality cannot be told from chance, no search for bits can
# either. These cost nothing that could be seen with more examples.
UNSEEN_CODE_WIDTH = 4
UNSEEN_PRIVATE_WIDTH = 8
# Training examples that are looked at where others are few.
MOST_TRAINED = 1024
# Bits of an activation statistic.
STATISTICS_WIDTH = 8
STAGES = ("prune", "quantize", "fine-tune", "store")


@contextlib.contextmanager
def all_or_nothing(model: keras.Model) -> Iterator[None]:
    """Ends the running task, or brings it back as it was if that fails.

    Once the bank holds the task it is consolidated, whatever follows.
    """
    before, name = TaskBefore(model, of_training=False), model.running_task.name
    try:
        yield
        model.switch.let_go()
    except BaseException:
        if name in model.bank:
            model.switch.let_go()
        else:
            before.restore()
        raise


def consolidate_task(
    model: keras.Model,
    validation_data: Any,
    training_data: Any,
    monitor: str | None,
    mode: str,
    verbose: str | int,
) -> TaskRecord:
    """Returns what the bank is to store of the running task.

    The network computes with it from then on.
    """
    check_strings(mode=mode)
    check_strings(monitor=monitor, or_none=True)
    check_verbose(verbose)
    call_arguments.check_validation(validation_data)
    task = model.running_task
    if training_data is not None:
        task.take_data(checked_training_data(model, training_data))
    loop = evaluation_loop(model)
    if not model.run_eagerly:
        loop = model.compiled_heads.kept("evaluation", lambda: loop)
    is_pair = isinstance(validation_data, (tuple, list))
    parts = dict(zip("xy", validation_data)) if is_pair else {}
    with call_arguments.explained(model, {"x": validation_data, **parts}):
        validation = Validation(model, validation_data, loop, monitor, mode)
    record = Consolidation(model, validation, verbose).run()
    if task.data is not None and task.data.is_same(validation_data):
        facts = {**record.facts, "validated_on_training_data": True}
        record = dataclasses.replace(record, facts=facts)
    nearest = task.choice.nearest
    if nearest is not None:
        number = model.bank.number(nearest)
        record = dataclasses.replace(record, reference=number)
    if model.sharing.needs_statistics:
        sample = validation.sample(model.sharing.sample_size)
        statistics = model.switch.activation_statistics(sample)
        code = PrivateCode.encode(statistics, STATISTICS_WIDTH)
        record = dataclasses.replace(record, statistics=code)
    record = _told_apart(model, record, validation)
    rows = rows_to_keep(validation.examples(1))
    model.kept_examples.keep(record, validation.examples(rows))
    return record


def _told_apart(
    model: keras.Model, record: TaskRecord, validation: Validation
) -> TaskRecord:
    """Returns a record with what tells the task apart from others."""
    scores = get_scores(model.inference)
    of_outputs = needs_outputs(scores)
    # Where nothing can be told, `infer_task` says so to those who ask.
    if not scores or (of_outputs and not has_probabilities(model)):
        return record
    rows = min(MOST_EXAMPLES, validation.num_examples)
    x, outputs = validation.examples(rows)[0], None
    if of_outputs:
        size = model.switch.batch_size or min(BATCH, rows)
        batches = in_full_batches(x, size)
        outputs = [model(batch, training=False) for batch in batches]
        outputs = [np.asarray(o) for o in tree.flatten(joined(outputs))]
        if not all(np.isfinite(output).all() for output in outputs):
            return record
        x = take_rows(x, slice(len(outputs[0])))
    codes, facts = learned(scores, x, outputs)
    facts = {**record.facts, **facts}
    return dataclasses.replace(record, inference=codes, facts=facts)


def announced(report: TaskReport, callbacks: list) -> TaskReport:
    """Returns a report, which the callbacks that wait for it have got."""
    for callback in callbacks:
        if hasattr(callback, "on_consolidate_end"):
            callback.on_consolidate_end(report)
    return report


def check_consolidatable(model: keras.Model) -> None:
    """Refuses to consolidate what was not compiled, added or trained."""
    if not model.compiled:
        raise ValueError(
            "You must call `compile()` before calling `consolidate()`."
        )
    task = model.running_task
    if task is None:
        last = f"Task '{model.tasks[-1]}' is" if model.tasks else "There is"
        what = "consolidated already" if model.tasks else "no task yet"
        raise ValueError(
            f"{last} {what}. Add a task with `model.add_task(name, head)` "
            "and train it with `model.fit` before `consolidate`."
        )
    if not task.begun:
        raise ValueError(
            f"Task '{task.name}' has not been trained. Call `model.fit` "
            "before `consolidate`."
        )


class Consolidation:
    """Prunes, quantizes and packs the running task, trained.

    Every evaluation runs with exactly the kernels that inference will use.

    Args:
        validation: It has validated the task as `fit` left it.
    """

    def __init__(
        self, model: keras.Model, validation: Validation, verbose: str | int
    ):
        self._model = model
        self._task = model.running_task
        self._validation = validation
        self._pruning = model.pruning
        self._quantization = model.quantization
        self._budget = getattr(model.pruning, "budget", None)
        self._tolerance = Tolerance(
            model.tolerance,
            validation.initial,
            validation.sign < 0,
            validation.loss,
            validation.num_examples,
        )
        self._tune: Callable | None = None
        self._finds_sparsity = isinstance(model.pruning, AdaptiveSparsity)
        rounds = 0
        if self._finds_sparsity:
            rounds = len(model.pruning.sparsities()) + BISECTIONS
        self._progress = StageProgress(
            ("prune",) * rounds + STAGES,
            1 if verbose == "auto" else verbose,
            self._task.callbacks,
        )

    def _draft(self) -> None:
        """Begins what is to be stored, with the masks that were found."""
        nearest = self._task.choice.nearest
        used = nearest and self._model.bank.used_slots(nearest)
        self._drafts = [
            mask.draft(widest, used and used[index])
            for index, (mask, widest) in enumerate(
                zip(self._task.masks, self._task.widths)
            )
        ]
        self.quality = Quality(
            self._model.switch, self._validation, self._kernels
        )

    @property
    def _kernels(self) -> list[np.ndarray]:
        return [draft.values for draft in self._drafts]

    @property
    def _own(self) -> list[np.ndarray]:
        return [draft.own for draft in self._drafts]

    @property
    def _codebooks(self) -> list[Codebook]:
        return [draft.codes for draft in self._drafts]

    def run(self) -> TaskRecord:
        """Returns what the bank is to store."""
        dense = self._validation.initial
        self._prune()
        pruned = self.quality(self._kernels)
        self._progress.end("prune")
        if self._quantization is not None:
            self._quantize(self._lowest_of_codes(pruned))
        self._keep_budget()
        quantized = self.quality(self._kernels)
        private = self._store_private()
        after = self.quality(self._kernels)
        self._progress.end("store")
        self._warn(dense, after)
        return self._record(private, (dense, pruned, quantized, after))

    def _warn(self, dense: float, after: float) -> None:
        lost, allowed = dense - after, self._tolerance.allowed()
        if lost <= allowed + 1e-6:
            return
        warnings.warn(
            f"Task '{self._task.name}': the tolerance was not kept. The best "
            f"found has {self._validation.monitor} {abs(after):.4f} instead of "
            f"{abs(dense):.4f}: {lost:.4f} lost, where {allowed:.4f} may be. "
            "`report.warnings` says what cost most.",
            stacklevel=6,
        )

    def _trained_with(self) -> Validation | None:
        """Returns training examples to validate, if others are too few."""
        data = self._task.data
        if data is None or not self._tolerance.is_chance:
            return None
        with data.untouched():
            batches = data.first_batches(MOST_TRAINED)
        if not batches or not data.has_targets:
            return None
        # Sequences may have another length in each batch.
        sample = joined([batch[:2] for batch in batches])
        rows, size = num_rows(sample[0]), self._model.switch.batch_size or 1
        try:
            sample = take_rows(sample, slice(rows - rows % size))
            return self._validation.of(sample)
        except ValueError:
            # Data in the order of their classes, say, tell nothing so early.
            return None

    def _prune(self) -> None:
        if self._finds_sparsity:
            quality = PruningRounds(
                self._model,
                self._validation,
                self._tolerance,
                self._progress.end_round,
                self._trained_with(),
            ).run()
            self._draft()
            self.quality.recall(quality)
            return
        changed = finish_schedule(self._model)
        self._draft()
        if changed:
            self.quality.forget()
        own = getattr(self._pruning, "tolerance", None)
        if own is None:
            return
        allowed = self._tolerance.allowed(own)
        pruned = refine(self._kernels, self._own, self.quality, allowed)
        for draft, values, own in zip(self._drafts, *pruned):
            draft.prune(values, own)

    def _allowed_codes(self) -> float:
        """Returns what codes may lose of the quality after the pruning."""
        share = QUANTIZATION_SHARE
        if not self._finds_sparsity:
            share += PRUNING_SHARE
        own = self._tolerance.allowed(self._quantization.tolerance)
        return min(own, share * self._tolerance.allowed())

    def _lowest_of_codes(self, pruned: float) -> float:
        """Returns the lowest quality that codes may have."""
        lowest = pruned - self._allowed_codes()
        if self._finds_sparsity:
            # Rounds may have lost what others can make no use of.
            lowest = max(lowest, min(pruned, self._tolerance.promised))
        return lowest

    def _keep_budget(self) -> None:
        """Drops the smallest own slots until the bytes keep the budget."""
        while self._budget is not None:
            taken = sum(draft.pack().num_bytes for draft in self._drafts)
            few = all(draft.own.sum() < 2 for draft in self._drafts)
            if taken <= self._budget or few:
                break
            fraction = 0.99 * self._budget / taken
            for draft in self._drafts:
                most = draft.own.sum()
                count = min(max(1, int(fraction * most)), most)
                draft.keep(largest(draft.values, count, draft.own))

    def _quantize(self, acceptable: float) -> None:
        private = self.quality.private_values()
        try:
            codebooks = self._search_codebooks(acceptable)
        except KeyboardInterrupt:
            self.quality.install_private(private)
            codebooks = self._widest_codebooks()
            placed = place_all(self._kernels, self._own, codebooks)
            if self._budget or self.quality(placed) < acceptable:
                raise
            warnings.warn(
                f"Task '{self._task.name}': the search for the fewest bits "
                "was interrupted. The widest codes are taken.",
                stacklevel=6,
            )
        self._encode(codebooks)
        placed = place_all(self._kernels, self._own, codebooks)
        for draft, values in zip(self._drafts, placed):
            draft.place(values)
        self._progress.end("fine-tune")

    def _widest_codebooks(self) -> list[Codebook]:
        kind = self._quantization.codebook
        return [
            Codebook.fit(draft.values[draft.own], draft.widest, kind)
            for draft in self._drafts
        ]

    def _search_codebooks(self, acceptable: float) -> list[Codebook]:
        """Returns the narrowest that are acceptable, or else the best."""
        self._tune = fine_tuning_of(self._model)
        hopeful = acceptable
        if self._tune is not None:
            hopeful -= WON_BACK * self._allowed_codes()
        widest = [draft.widest for draft in self._drafts]
        kind = self._quantization.codebook
        self._encode(
            search_widths(
                self._kernels,
                self._own,
                self.quality,
                hopeful,
                self._narrowest,
                widest,
                kind,
                self._max_bits(1 + BUDGET_EXCESS),
            )
        )
        self._keep_budget()
        self._progress.end("quantize")
        weights, own = self._kernels, self._own
        codebooks, best = self._codebooks, None
        while True:
            codebooks, quality = self.fine_tuned(codebooks)
            if best is None or quality > best[0]:
                values = self.quality.private_values()
                best = quality, codebooks, values
            if quality >= acceptable:
                break
            bits = self._max_bits(1.0)
            wider = widen_worst(weights, own, codebooks, widest, kind, bits)
            if wider is None:
                break
            codebooks = wider
        # Where none is acceptable, the narrowest of the best.
        if codebooks is not best[1]:
            _, codebooks, values = best
            self.quality.install_private(values)
        return codebooks

    @property
    def _narrowest(self) -> int:
        """The width that codes begin with."""
        strategy = self._quantization
        is_given = strategy.min_width is not None or self._budget is not None
        if is_given or not self._tolerance.is_chance:
            return strategy.narrowest
        return min(UNSEEN_CODE_WIDTH, strategy.max_width)

    def _encode(self, codebooks: list[Codebook]) -> None:
        for draft, codebook in zip(self._drafts, codebooks):
            draft.encode(codebook)

    def _max_bits(self, part: float) -> float:
        """Returns how many bits codes may take, by a part of the budget."""
        if self._budget is None:
            return math.inf
        masks = sum(draft.mask_bytes() for draft in self._drafts)
        return 8 * (part * self._budget - masks)

    def fine_tuned(
        self, codebooks: list[Codebook]
    ) -> tuple[list[Codebook], float]:
        """Fine-tunes, and takes the outcome back if it is no better."""
        weights, own = self._kernels, self._own
        placed = place_all(weights, own, codebooks)
        quality = self.quality(placed)
        if self._tune is None:
            return codebooks, quality
        loss = self.quality.loss
        private = self.quality.private_values()
        moves = self._quantization.codebook == "clustered"
        tuned = self._tune(own, codebooks, moves)
        self.quality.forget()
        tuned_quality = self.quality(place_all(weights, own, tuned))
        if tuned_quality >= quality:
            return tuned, tuned_quality
        self.quality.put_back(placed, private, quality, loss)
        return codebooks, quality

    def _store_private(self) -> list[PrivateCode]:
        if self._quantization is not None:
            return PrivateStorage(
                self.quality, self._kernels, self._tolerance
            ).run()
        values = self.quality.private_values()
        codes = [PrivateCode.encode(value, FLOAT_WIDTH) for value in values]
        self.quality.install_private(_decoded(codes))
        return codes

    def _record(
        self, private: list[PrivateCode], qualities: tuple[float, ...]
    ) -> TaskRecord:
        """Returns the record, without statistics of the task's activations.

        Args:
            private: The private variables.
            qualities: As `fit` left the task, after pruning, with the codes,
                and with all that is stored; higher is better.
        """
        task, monitor = self._task, self._validation.monitor
        sign, choice = self._validation.sign, task.choice
        before, pruned, quantized, after = (
            round(sign * quality, 6) for quality in qualities
        )
        divergence = choice.divergence
        if divergence is not None:
            # The bank counts every digit.
            divergence = float(f"{divergence:.4g}")
        facts = {
            "nearest": choice.nearest,
            "divergence": divergence,
            "reason": choice.reason,
            "losses": choice.losses,
            "monitor": monitor,
            "better": int(sign),
            "before": before,
            "pruned": pruned,
            "quantized": quantized,
            "after": after,
            "allowed": round(self._tolerance.allowed(), 6),
        }
        if self._finds_sparsity:
            facts["finds_sparsity"] = True
        if self._validation.loss is not None:
            facts["loss"] = float(f"{self._validation.loss:.4g}")
        if self._validation.chance is not None:
            facts["chance"] = round(self._validation.chance, 4)
        if task.class_names is not None:
            facts["class_names"] = task.class_names
        if monitor in task.progress.denser:
            lowest, highest = task.progress.denser[monitor]
            facts["denser"] = round(highest if sign > 0 else lowest, 6)
        nothing = np.zeros(0, np.float32)
        return TaskRecord(
            name=task.name,
            planes=task.planes,
            head=task.head,
            components=tuple(draft.pack() for draft in self._drafts),
            private=tuple(private),
            statistics=PrivateCode.encode(nothing, FLOAT_WIDTH),
            facts=facts,
        )


class PrivateStorage:
    """Finds the smallest widths of private variables, and installs them."""

    def __init__(
        self,
        quality: Quality,
        kernels: list[np.ndarray],
        tolerance: Tolerance,
    ):
        self._quality = quality
        self._kernels = kernels
        self._tolerance = tolerance
        self._allowed = PRIVATE_SHARE * tolerance.allowed()
        # Qualities that are no accuracies come in any steps.
        fewest = 1.0 / tolerance.num_examples
        self._example = fewest if tolerance.is_fraction else 0.0
        self._validated: dict[tuple[int, ...], tuple[float, float | None]] = {}

    def run(self) -> list[PrivateCode]:
        """Returns the code of each private variable; they are installed.

        Where less than one example may be lost, the loss decides, and one
        example may be missed, unless that would be more than the task as a
        whole may lose.
        """
        values = self._quality.private_values()
        before = self._quality(self._kernels)
        loss_before = self._quality.loss
        narrowest = UNSEEN_PRIVATE_WIDTH if self._tolerance.is_chance else 1
        if self._allowed >= self._example or loss_before is None:
            codes = search_private_widths(
                values,
                lambda codes: self._validate(codes)[0],
                before - self._allowed,
                narrowest,
            )
        else:
            promised = self._tolerance.promised
            floor = max(before - self._example, promised)
            if before < promised:
                # What is missed already cannot be kept.
                floor = -np.inf

            def negative_loss(codes):
                found, loss = self._validate(codes)
                return -loss if found >= floor else -math.inf

            codes = search_private_widths(
                values,
                negative_loss,
                -loss_before - RAISED_LOSS * abs(loss_before),
                narrowest,
            )
        self._quality.put_back(
            self._kernels, _decoded(codes), *self._validate(codes)
        )
        return codes

    def _validate(self, codes: list[PrivateCode]) -> tuple[float, float | None]:
        """Validates each combination of widths once."""
        widths = tuple(code.width for code in codes)
        if widths not in self._validated:
            self._quality.install_private(_decoded(codes))
            found = self._quality(self._kernels)
            self._validated[widths] = found, self._quality.loss
        return self._validated[widths]


def _decoded(codes: list[PrivateCode]) -> list[np.ndarray]:
    return [code.decode() for code in codes]
