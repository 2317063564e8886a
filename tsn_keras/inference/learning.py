"""What is learned and stored of a task, so that it can be told from others."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tsn_keras.bank import (
    FLOAT_WIDTH,
    DamagedFileError,
    PrivateCode,
    TaskRecord,
)
from tsn_keras.inference.scores import (
    Confidence,
    Inference,
    InputMeans,
    Outputs,
)

NAMES = {"confidence": Confidence, "input_means": InputMeans}
# The fact that says which scores a task was learned with.
FACT = "inference"
# The part of a task's own validation data that is called none of its own.
FALSE_ALARMS = 0.05
# A task that scores without predictions put so many deviations behind another
# is not asked how sure it is: that hardly ever makes up for it.
LEAD = 4.0
# A score that is the same for all validation data tells them well apart.
SMALLEST_DEVIATION = 1e-6


def get_scores(value: Any) -> list[Inference]:
    """Returns the scores that the argument `inference` means.

    Args:
        value: A score, its name or its configuration, a list of them, or
            `None`.
    """
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [score for one in value for score in get_scores(one)]
    if isinstance(value, str):
        if value not in NAMES:
            raise ValueError(
                "`inference` must be a tsn_keras.inference.Inference, a list "
                f"of them, None, or one of {list(NAMES)}. Received: "
                f"inference='{value}'"
            )
        return [NAMES[value]()]
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, Inference):
        raise TypeError(
            "`inference` must be a tsn_keras.inference.Inference, a list of "
            f"them, a name or None. Received: inference={value!r}"
        )
    return [value]


def _signature(scores: Sequence[Inference]) -> str:
    """Returns a text that is equal for scores that store the same."""
    return "; ".join(
        f"{type(score).__name__} {score.get_config()}" for score in scores
    )


def needs_outputs(scores: Sequence[Inference]) -> bool:
    """Whether a task has to predict examples before they are scored."""
    return any(score.needs_outputs for score in scores)


def candidates(total: np.ndarray, most: int | None) -> np.ndarray:
    """Returns which tasks are worth a prediction, for each example.

    Args:
        total: What scores without predictions found, in deviations: a row for
            each example and a column for each task.
        most: How many tasks at most; `None` for all that come near the best.
    """
    with np.errstate(invalid="ignore"):
        # So are all tasks where the scores rule out every one of them.
        chosen = ~(total.max(axis=1, keepdims=True) - total > LEAD)
    if most is not None:
        order = np.argsort(-total, axis=1, kind="stable")
        np.put_along_axis(chosen, order[:, most:], False, axis=1)
    return chosen


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a task: of each score its arrays, and its scale.

    Args:
        arrays: Of each score, as it is stored.
        means: Of each score on the validation data.
        deviations: Likewise.
        lowest: All but `FALSE_ALARMS` of the validation data are above it, in
            deviations, summed over scores.
    """

    arrays: list[list[np.ndarray]]
    means: np.ndarray
    deviations: np.ndarray
    lowest: float

    def standard(
        self, index: int, score: Inference, x: Any, outputs: Outputs
    ) -> np.ndarray:
        """Returns one of the scores, in deviations from the task's mean.

        Examples whose score is no number fit the task least of all.
        """
        found = score.score(self.arrays[index], x, outputs)
        found = (found - self.means[index]) / self.deviations[index]
        return np.where(np.isnan(found), -np.inf, found)


def learned(
    scores: Sequence[Inference], x: Any, outputs: Outputs
) -> tuple[tuple[PrivateCode, ...], dict[str, str]]:
    """Returns what is stored of a task, and the fact that says with what.

    Args:
        x: Inputs of its validation data, a nest of arrays.
        outputs: The task's for them, one array for each output of its head;
            `None` if they are not needed.
    """
    return _codes(scores, x, outputs), {FACT: _signature(scores)}


def known_of(scores: Sequence[Inference], record: TaskRecord) -> Known:
    """Returns what is known of a task.

    Raises:
        ValueError: If other scores were learned of it, or none.
    """
    if record.facts.get(FACT) != _signature(scores):
        raise ValueError(
            f"Task '{record.name}' was consolidated without the `inference` "
            "that the model has now. Call "
            f"`model.learn_inference('{record.name}', validation_data)`."
        )
    return _decoded(scores, record.inference)


def portable(
    scores: Sequence[Inference], record: TaskRecord, outputs: Sequence[str]
) -> dict[str, Any] | None:
    """Returns what a runner without tsn_keras needs to infer a task.

    It is JSON's, and `None` if the scores were not learned of the task, or
    not all of them have a form for runners.

    Args:
        outputs: Names of the outputs of the task's head, in their order.
    """
    if not scores or record.facts.get(FACT) != _signature(scores):
        return None
    known, found = known_of(scores, record), []
    scales = zip(known.means, known.deviations)
    for score, arrays, (mean, deviation) in zip(scores, known.arrays, scales):
        form = score.portable(arrays, outputs)
        if form is None:
            return None
        scale = {"mean": _short(mean), "deviation": _short(deviation)}
        found.append({**form, **scale})
    return {"scores": found, "lowest": _short(known.lowest)}


def _short(number: float) -> float:
    return float(f"{number:.7g}")


def _codes(
    scores: Sequence[Inference], x: Any, outputs: Outputs
) -> tuple[PrivateCode, ...]:
    """Returns what is stored. Scores are scaled as they are with it."""
    codes, found = [], []
    for score in scores:
        arrays = score.learn(x, outputs)
        pairs = zip(arrays, score.widths, strict=True)
        coded = [PrivateCode.encode(np.float32(a), w) for a, w in pairs]
        codes += coded
        decoded = [code.decode() for code in coded]
        found.append(np.float64(score.score(decoded, x, outputs)))
    if not np.isfinite(found).all():
        raise ValueError(
            "The task cannot be told from others: for its own validation data "
            "a score is not finite. Give another `inference`; if the task's "
            "outputs are not finite either, learn it again."
        )
    means = np.array([values.mean() for values in found])
    deviations = np.array([values.std() for values in found])
    deviations = np.maximum(deviations, SMALLEST_DEVIATION)
    standard = [(v - m) / d for v, m, d in zip(found, means, deviations)]
    lowest = np.quantile(np.sum(standard, axis=0), FALSE_ALARMS)
    scale = np.float32([*means, *deviations, lowest])
    return (*codes, PrivateCode.encode(scale, FLOAT_WIDTH))


def _decoded(
    scores: Sequence[Inference], codes: Sequence[PrivateCode]
) -> Known:
    arrays = [code.decode() for code in codes]
    count = sum(len(score.widths) for score in scores)
    if len(arrays) != count + 1 or arrays[-1].shape != (2 * len(scores) + 1,):
        raise DamagedFileError(
            "The saved weight bank is damaged, or was not written by "
            "tsn_keras: what tells a task apart is not what its scores store. "
            "Load another copy of the file."
        )
    of_scores, scale = [], arrays.pop()
    for score in scores:
        count = len(score.widths)
        of_scores.append(arrays[:count])
        arrays = arrays[count:]
    means, deviations = scale[:-1].reshape(2, -1)
    return Known(of_scores, means, deviations, float(scale[-1]))
