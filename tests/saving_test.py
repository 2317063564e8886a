"""Tests of what a saved model consists of."""

import io
import json
import os
import tempfile
import zipfile

import h5py
import keras
import numpy as np
from absl.testing import parameterized

from tests.digits_tasks import (
    TRAIN,
    VALIDATION,
    begin,
    digits,
    everything,
    learn,
    make_model,
    mlp,
)


def normalized_mlp():
    return mlp(extra=[keras.layers.BatchNormalization()])


class SavingTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "model.keras")

    def stored_arrays(self):
        """Returns the arrays of the saved weights by their path."""
        with zipfile.ZipFile(self.path) as archive:
            weights = io.BytesIO(archive.read("model.weights.h5"))
        arrays = {}

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                arrays[name] = item[()]

        with h5py.File(weights) as file:
            file.visititems(visit)
        return arrays

    def check_size(self, model):
        model.save(self.path)
        with zipfile.ZipFile(self.path) as archive:
            config = len(archive.read("config.json"))
        capacity = model.capacity()
        self.assertEqual(
            os.path.getsize(self.path), capacity.total_bytes + config
        )
        self.assertEqual(capacity.total_bytes, sum(capacity.bytes.values()))
        arrays = self.stored_arrays()
        self.assertLen(arrays, 1)
        bank = model.bank.to_bytes()
        (stored,) = arrays.values()
        self.assertEqual(stored.tobytes(), bank)
        kinds = dict(capacity.bytes)
        kinds.pop("container")
        self.assertEqual(sum(kinds.values()), len(bank))

    @parameterized.parameters(
        {},
        {"pruning": "scores"},
        {"pruning": None, "quantization": None, "sharing": None},
        {"sharing": "activation_similarity", "backbone": normalized_mlp},
    )
    def test_size_is_capacity_and_architecture(self, backbone=mlp, **arguments):
        model = make_model(backbone(), **arguments)
        learn(model, 0)
        self.check_size(model)
        if arguments.get("quantization", "") is not None:
            learn(model, 1)
            self.check_size(model)
            loaded = keras.models.load_model(self.path)
            self.check_size(loaded)

    def test_capacity_against_a_dense_network(self):
        model = make_model(mlp(), quantization=None, pruning=None)
        learn(model, 0)
        capacity = model.capacity()
        dense = 4 * (64 * 32 + 32 + 32 * 10 + 10)
        self.assertEqual(capacity.dense_bytes, dense)
        self.assertEqual(capacity.bytes["codes"], 4 * 64 * 32)
        self.assertEqual(capacity.bytes["private"], 4 * (32 + 32 * 10 + 10))
        self.assertEqual(capacity.bytes["codebooks"], 0)
        self.assertEqual(capacity.fraction, capacity.total_bytes / dense)
        entries = capacity.to_dict()
        self.assertEqual(entries["total_bytes"], capacity.total_bytes)

    def test_running_task_does_not_count(self):
        model = make_model()
        learn(model, 0)
        before = model.capacity()
        begin(model, 1)
        self.assertEqual(model.capacity(), before)
        model.save(self.path)
        names = {name.rsplit("/")[-1] for name in self.stored_arrays()}
        self.assertContainsSubset(
            {"bank", "running_task", "kernel.0", "mask.0", "optimizer.0"},
            names,
        )

    def test_learning_goes_on_after_loading(self):
        model = make_model(normalized_mlp(), sharing="activation_similarity")
        learn(model, 0)
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        self.assertEqual(everything(loaded), everything(model))
        configs = [json.dumps(one.get_config()) for one in (loaded, model)]
        self.assertEqual(*configs)
        x, y = digits(0, VALIDATION)
        self.assertEqual(
            loaded.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0)
        )
        learn(loaded, 1)
        self.assertEqual(loaded.tasks, ("task 0", "task 1"))
        self.assertEqual(everything(loaded)[1][:1], everything(model)[1])

    def test_heads_of_several_shapes(self):
        model = make_model()
        learn(model, 0)
        x, y = digits(1, TRAIN)
        model.add_task("odd", head=keras.layers.Dense(2, name="odd"))
        model.fit(x, y % 2, verbose=0)
        model.consolidate((x, y % 2), verbose=0)
        expected = model.predict(x, task="odd", verbose=0)
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        found = loaded.predict(x, task="odd", verbose=0)
        np.testing.assert_array_equal(found, expected)
        self.assertEqual(loaded.predict(x, task="task 0").shape[-1], 10)

    def test_weights_of_a_running_task_do_not_reach_the_config(self):
        model = make_model(mlp(512))
        learn(model, 0)
        model.save(self.path)
        with zipfile.ZipFile(self.path) as archive:
            self.assertLess(len(archive.read("config.json")), 10_000)
