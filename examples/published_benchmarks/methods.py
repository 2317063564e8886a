"""The methods that fill one table, each over the same loop.

To add one: a `Method` in `METHODS`, whose `make` returns a
`tsn_keras.baselines.Baseline`, or whatever else a `ScenarioRun` takes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

import tsn_keras
from tsn_keras import baselines


@dataclasses.dataclass(frozen=True)
class Method:
    """One row of the table.

    Args:
        make: Function of a backbone, the number of tasks, a strength and a
            seed; returns a method that is not compiled.
        strengths: What `choose_strength` tries; none if there is nothing to
            choose.
        tolerance: As of `choose_strength`.
        resumes: Whether a job that was killed goes on where it stopped. If
            not, it begins anew.
        copies: Networks that are held in memory at a time, roughly: values,
            gradients, the optimizer's, and what the method keeps.
        is_variant: Whether it is one of another method, in the table only
            where it was run.
    """

    title: str
    make: Callable[[keras.Model, int, Any, int], keras.Model]
    strengths: tuple = ()
    tolerance: float = 0.0
    resumes: bool = True
    copies: int = 5
    is_variant: bool = False


def ours(title: str, **strategies: Any) -> Method:
    """Returns our method with the default strategies but for some."""
    return Method(
        title,
        lambda backbone, tasks, strength, seed: tsn_keras.ContinualModel(
            backbone, seed=seed, **strategies
        ),
        copies=10,
        is_variant=bool(strategies),
    )


METHODS = {
    "ours": ours("tsn_keras, defaults"),
    # What each mechanism is worth.
    "no_pruning": ours("tsn_keras without pruning", pruning=None),
    "no_quantization": ours(
        "tsn_keras without quantization", quantization=None
    ),
    "no_sharing": ours("tsn_keras without sharing", sharing="never"),
    "separate": Method(
        "separate networks",
        lambda backbone, tasks, strength, seed: baselines.SeparateNetworks(
            backbone, seed
        ),
        copies=15,
    ),
    "joint": Method(
        "joint training",
        lambda backbone, tasks, strength, seed: baselines.JointTraining(
            backbone, tasks, seed
        ),
        resumes=False,
    ),
    "fine_tuning": Method(
        "fine-tuning",
        lambda backbone, tasks, strength, seed: baselines.FineTuning(
            backbone, seed
        ),
    ),
    "ewc": Method(
        "EWC",
        lambda backbone, tasks, strength, seed: baselines.EWC(
            backbone, strength, seed=seed
        ),
        strengths=(10.0, 100.0, 1e3, 1e4),
        copies=8,
    ),
    # A memory that is larger is never worse: the smallest that is about as good
    # is chosen.
    "replay": Method(
        "experience replay",
        lambda backbone, tasks, strength, seed: baselines.ExperienceReplay(
            backbone, strength, seed
        ),
        strengths=(20, 100, 500),
        tolerance=0.005,
    ),
    "packnet": Method(
        "PackNet",
        lambda backbone, tasks, strength, seed: baselines.packnet(
            backbone, 1.0 / tasks, seed=seed
        ),
        copies=10,
    ),
    # So that all tasks have room.
    "wsn": Method(
        "WSN, without reuse",
        lambda backbone, tasks, strength, seed: baselines.wsn(
            backbone, min(0.1, 1.0 / tasks), seed=seed
        ),
        copies=12,
    ),
}
