"""What CONTRIBUTING.md says can be done, works."""

import pathlib
import re
from unittest import mock

import keras
import numpy as np
import pytest

import tsn_keras

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def examples():
    """What the examples define, by name."""
    names = {}
    pattern = r"^<!-- runs -->\n```python\n(.*?)^```$"
    blocks = re.findall(pattern, TEXT, re.MULTILINE | re.DOTALL)
    with mock.patch.dict(tsn_keras.lite.PRECISIONS):
        for block in blocks:
            exec(block, names)
        yield names


def test_what_the_examples_add_works_together(examples, tmp_path):
    images = np.random.default_rng(0).random((200, 4, 4), "float32")
    images[:100, :2] /= 4
    pair = images, np.arange(200) // 100
    data = tsn_keras.scenarios.ImageData(pair, pair)
    tasks = examples["Negatives"](data, flatten=True)
    hidden = keras.layers.Dense(24, "relu")
    model = tsn_keras.ContinualModel(
        keras.Sequential([keras.Input((16,)), hidden]),
        pruning=examples["UnitPruning"](0.5),
        sharing=examples["WithFirst"](),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    for task in tasks:
        model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        model.fit(task.train, epochs=10, verbose=0)
        report = model.consolidate(task.validation, verbose=0)
    assert report.nearest == "negative_0"
    assert all(count > 0 for count in report.shared.values())
    inputs = np.concatenate([x for x, _ in tasks[1].test])
    file = model.export(
        tmp_path / "task.tflite",
        format="litert",
        task="negative_1",
        precision="int16x8",
        representative_data=inputs,
    )
    assert file.agreement.agreement > 0.95
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.pruning, examples["UnitPruning"])
    assert isinstance(loaded.sharing, examples["WithFirst"])


def test_files_that_are_named_exist():
    named = re.findall(r"`((?:\w+/)+\w*(?:\.py)?|\w+_test\.py)`", TEXT)
    assert len(named) > 12
    for name in named:
        places = ROOT / name, ROOT / "tsn_keras" / name, ROOT / "tests" / name
        assert any(place.exists() for place in places), name


def test_it_is_short():
    assert TEXT.count("\n") <= 200
