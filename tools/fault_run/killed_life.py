"""The life of a process that may be killed at any moment."""

import pathlib
import shutil
import traceback
import types

import keras
import numpy as np
import tensorflow as tf

from tests.digits_tasks import (
    TEST,
    TRAIN,
    VALIDATION,
    digits,
    fit,
    make_model,
)
from tsn_keras import lite
from tsn_keras.evaluation import ScenarioRun

NUM_TASKS = 3


def live(folder: pathlib.Path) -> None:
    """Checks what the process before has left, and goes on from there."""
    try:
        _check(folder)
        (folder / "stage").write_text("")
        (folder / "checked").touch()
        _go_on(folder)
    except Exception:
        (folder / "failed").write_text(traceback.format_exc()[-600:])
        raise


def _check(folder: pathlib.Path) -> None:
    """Compares models and files with the answers that were noted."""
    path = folder / "model.keras"
    if path.exists():
        model = keras.saving.load_model(path)
        for name in model.tasks:
            _compare(folder, name, _answer(model, name))
    for file in sorted(folder.glob("*.tflite")):
        runner = lite.TaskRunner(file)
        for name in runner.tasks:
            x, _ = digits(int(name[-1]), TEST)
            known = np.load(folder / f"{name}.npy")
            found = runner.predict(x, task=name)
            np.testing.assert_allclose(found, known, atol=1e-4)


def _answer(model: keras.Model, name: str) -> np.ndarray:
    x, _ = digits(int(name[-1]), TEST)
    return model.predict(x, task=name, verbose=0, batch_size=200)


def _compare(folder: pathlib.Path, name: str, answer: np.ndarray) -> None:
    known = folder / f"{name}.npy"
    if known.exists():
        np.testing.assert_array_equal(np.load(known), answer, name)
        return
    unfinished = folder / "answer.npy.new"
    with open(unfinished, "wb") as file:
        np.save(file, answer)
    unfinished.replace(known)


def _go_on(folder: pathlib.Path) -> None:
    path = folder / "model.keras"
    # The first task starts from the backbone as it is made.
    keras.utils.set_random_seed(0)
    model = make_model(sharing="always")
    if path.exists():
        model = keras.saving.load_model(path)

    def stage(name: str) -> None:
        (folder / "stage").write_text(name)

    for number in range(len(model.tasks), NUM_TASKS):
        name = f"task {number}"
        stage("fit")
        model.add_task(name, head=keras.layers.Dense(10))
        fit(model, number, epochs=2)
        stage("consolidate")
        model.consolidate(digits(number, VALIDATION), verbose=0)
        stage("predict")
        _compare(folder, name, _answer(model, name))
        stage("save")
        model.save(path)
        _check_swept(folder, path.name)
        stage("export")
        file = folder / f"{number}.tflite"
        model.export(file, format="litert", task=name)
        _check_swept(folder, file.name)
        stage("bundle")
        lite.export_bundle(model, folder / "all.tflite")
        _check_swept(folder, "all.tflite")
    stage("run")
    _run(folder / "run")
    stage("end")
    shutil.rmtree(folder / "run")
    path.unlink()


def _check_swept(folder: pathlib.Path, name: str) -> None:
    left = [p.name for p in folder.glob(f".{name}.*")]
    if left:
        raise AssertionError(f"leftover after the next save: {left}")


def _run(folder: pathlib.Path) -> None:
    """Goes on with a run; its report says whether all tasks kept their bits."""
    tasks = [
        types.SimpleNamespace(
            name=f"digits {number}",
            train=_batches(number, TRAIN),
            validation=_batches(number, VALIDATION),
            test=_batches(number, TEST),
        )
        for number in range(2)
    ]
    keras.utils.set_random_seed(0)
    model = make_model(sharing="never")
    run = ScenarioRun(model, tasks, folder, resume=True, verbose=0)
    while run.remaining:
        run.learn(keras.layers.Dense(10), epochs=1)
    report = run.finish(config={})
    if not report["bit_exact"]:
        raise AssertionError("a task of the run has other bits than before")


def _batches(number: int, part: slice) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(digits(number, part)).batch(50)
