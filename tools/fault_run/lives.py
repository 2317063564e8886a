"""Random lives of banks and of models."""

import pathlib

import keras
import numpy as np

from tests import faults
from tests.bank.sequences import run_lives
from tests.digits_tasks import TEST, VALIDATION, digits, fit, make_model
from tools.fault_run.outcomes import Outcomes


def banks(outcomes: Outcomes, part: float) -> None:
    """10,000 lives of a bank, beside a model of it in plain NumPy."""
    count = round(10_000 * part)
    try:
        run_lives(count)
    except Exception as error:
        outcomes.add("changed", f"{type(error).__name__}: {error}"[:300])
    else:
        outcomes.counts["as they must be"] += count


def models(outcomes: Outcomes, part: float, folder: pathlib.Path) -> None:
    """20 lives of a model: learn, remove, save, load, interrupt."""
    for seed in range(max(1, round(20 * part))):
        try:
            _live(np.random.default_rng(seed), folder / "model.keras")
        except AssertionError as error:
            outcomes.add("changed", f"life {seed}: {error}"[:200])
        except Exception as error:
            text = f"life {seed}: {type(error).__name__}: {error}"
            outcomes.add("other error", text[:200])
        else:
            outcomes.add("as they must be")


def _live(rng: np.random.Generator, path: pathlib.Path) -> None:
    sharing = str(rng.choice(["always", "never", "warm_start"]))
    model = make_model(sharing=sharing)
    numbers: dict[str, int] = {}
    expected: dict[str, bytes] = {}
    for step in range(10):
        kind = rng.choice(["learn", "learn", "remove", "reload", "interrupt"])
        if kind == "learn" and len(model.tasks) < 5:
            number, name = int(rng.integers(6)), f"task {step}"
            model.add_task(name, head=keras.layers.Dense(10))
            fit(model, number, epochs=1)
            if rng.random() < 0.5:
                line = int(rng.integers(20_000))
                faults.interrupted(lambda: _end(model, number), line)
            if name not in model.bank:
                _end(model, number)
            numbers[name] = number
            expected[name] = _answer(model, name, number)
        elif kind == "remove" and len(model.tasks) > 1:
            name = str(rng.choice(model.tasks))
            model.remove_task(name)
            del expected[name]
        elif kind == "interrupt" and len(model.tasks) > 1:
            name, line = str(rng.choice(model.tasks)), int(rng.integers(2000))
            faults.interrupted(lambda: model.remove_task(name), line)
            if name not in model.tasks:
                del expected[name]
        elif kind == "reload" and model.tasks:
            model.save(path)
            model = keras.saving.load_model(path)
        assert set(model.tasks) == set(expected)
        if model.tasks:
            # Called as it is, the model is its latest task.
            latest = model.tasks[-1]
            x, _ = digits(numbers[latest], TEST)
            wanted = np.frombuffer(expected[latest], np.float32)
            found = np.asarray(model(x)).reshape(-1)
            np.testing.assert_allclose(found, wanted, atol=1e-4)
        for name in model.tasks:
            found = _answer(model, name, numbers[name])
            assert found == expected[name], f"step {step} ({kind}): {name}"


def _end(model: keras.Model, number: int) -> None:
    model.consolidate(digits(number, VALIDATION), verbose=0)


def _answer(model: keras.Model, name: str, number: int) -> bytes:
    x, _ = digits(number, TEST)
    return model.predict(x, task=name, verbose=0, batch_size=200).tobytes()
