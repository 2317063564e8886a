"""An error at each call that `consolidate` and `WeightBank.add` make."""

import keras
import numpy as np

from tests import faults
from tests.digits_tasks import (
    VALIDATION,
    begin,
    digits,
    everything,
    learn,
    make_model,
)
from tools.fault_run.outcomes import Outcomes


def interruptions(outcomes: Outcomes, part: float) -> None:
    """Raises at each place that calls something, one after another.

    After each one, the tasks before are as they were, and so is the running
    one: in the end it is consolidated as if nothing had happened.
    """
    expected, _ = _prepared()
    expected.consolidate(digits(2, VALIDATION), verbose=0)
    whole = everything(expected)
    model, before = _prepared()
    sites = faults.calls_of(_consolidation(_prepared()[0]))
    step = max(1, round(1 / part))
    for site in sites[::step]:
        interrupted = faults.interrupted_at(_consolidation(model), site)
        stored = everything(model)
        if "task 2" in model.bank:
            # It was interrupted after the task was stored.
            outcomes.add("stored" if stored == whole else "changed", site)
            model, before = _prepared()
            continue
        is_same = stored == before and model.running_task is not None
        is_same = is_same and model.running_task.name == "task 2"
        outcome = "as it was" if is_same else "changed"
        outcomes.add(outcome if interrupted else "not reached", site)
        if not is_same:
            model, before = _prepared()
    model.consolidate(digits(2, VALIDATION), verbose=0)
    is_same = everything(model) == whole
    outcomes.add("as if nothing was" if is_same else "changed", "at the end")


def _prepared() -> tuple[keras.Model, tuple]:
    keras.utils.set_random_seed(0)
    model = make_model(sharing="always")
    for number in (0, 1):
        learn(model, number, epochs=1)
    before = everything(model)
    begin(model, 2, epochs=1)
    np.testing.assert_equal(before, everything(model))
    return model, before


def _consolidation(model: keras.Model):
    return lambda: model.consolidate(digits(2, VALIDATION), verbose=0)
