"""Tests of what a saved model consists of."""

import io
import json
import os
import pathlib
import tempfile
import zipfile
from unittest import mock

import h5py
import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
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
from tsn_keras.bank import file_format


def normalized_mlp():
    return mlp(extra=[keras.layers.BatchNormalization()])


@keras.saving.register_keras_serializable(package="tests")
class Counting(tsn_keras.ContinualModel):
    """Has a variable of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.counter = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False
        )

    def train_step(self, data):
        self.counter.assign_add(1)
        return super().train_step(data)


class SavingTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "model.keras")

    def stored_arrays(self):
        """Returns the arrays of the saved weights by their path."""
        if zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive:
                weights = io.BytesIO(archive.read("model.weights.h5"))
        else:
            weights = self.path
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
            config = archive.getinfo("config.json")
            self.assertLess(config.compress_size, config.file_size / 2)
            stored = archive.read("assets/bank")
            self.assertLen(archive.namelist(), 4)
            self.assertEmpty(np.load(archive.open("model.weights.npz")).files)
        capacity = model.capacity()
        self.assertEqual(
            os.path.getsize(self.path),
            capacity.total_bytes + config.compress_size,
        )
        self.assertEqual(capacity.total_bytes, sum(capacity.bytes.values()))
        bank = model.bank.to_bytes()
        self.assertEqual(stored, bank)
        kinds = dict(capacity.bytes)
        self.assertLess(kinds.pop("container"), 700)
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
            {"bank", "running_task", "kernel.0", "own.0", "optimizer.0"},
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

    def check_same(self, loaded, model):
        self.assertEqual(everything(loaded), everything(model))

    def test_a_task_that_was_added_and_not_trained(self):
        model = make_model()
        learn(model, 0)
        model.add_task("wide", keras.layers.Dense(12))
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        for one in (model, loaded):
            one.fit(*digits(1, TRAIN), verbose=0)
            one.consolidate(digits(1, VALIDATION), verbose=0)
        self.assertEqual(loaded.bank.to_bytes(), model.bank.to_bytes())

    @parameterized.parameters(
        (mlp, False, False, r"heads.*it has 0"),
        (normalized_mlp, True, False, "another architecture"),
        (mlp, True, True, r"\['wide'\] have heads.*it has 1"),
    )
    def test_weights_of_another_model(self, backbone, knows, runs, message):
        model, other = make_model(), make_model(backbone())
        learn(model, 0)
        if knows:
            learn(other, 0)
        if runs:
            model.add_task("wide", keras.layers.Dense(12))
        model.save(self.path)
        tasks, saved = other.tasks, other.bank.to_bytes()
        with self.assertRaisesRegex(ValueError, message):
            other.load_weights(self.path)
        self.assertEqual(other.tasks, tasks)
        self.assertEqual(other.bank.to_bytes(), saved)

    def test_variables_of_a_subclass(self):
        # The steps of the default pruning would count as well.
        model = Counting(mlp(), pruning="magnitude", sharing=None)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        learn(model, 0)
        self.assertEqual(int(model.counter), 26)
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        self.check_same(loaded, model)
        self.assertEqual(int(loaded.counter), 26)
        loaded.counter.assign(0)
        loaded.load_weights(self.path)
        self.assertEqual(int(loaded.counter), 26)

    def test_files_with_the_bank_in_hdf5(self):
        # As Keras' own function writes them, and releases before 0.1 did.
        model = make_model()
        learn(model, 0)
        learn(model, 1)
        keras.saving.save_model(model, self.path)
        (stored,) = self.stored_arrays().values()
        self.assertEqual(stored.tobytes(), model.bank.to_bytes())
        self.check_same(keras.models.load_model(self.path), model)
        model.save(self.path)
        self.check_size(keras.models.load_model(self.path))

    def test_folders(self):
        model = make_model()
        learn(model, 0)
        folder = os.path.join(os.path.dirname(self.path), "folder")
        model.save(folder, zipped=False)
        self.check_same(keras.models.load_model(folder), model)

    def test_an_archive_whose_bank_is_not_found(self):
        model = make_model()
        learn(model, 0)
        model.save(self.path)
        content = pathlib.Path(self.path).read_bytes()
        damaged = content.replace(b"assets/bank", b"assets/bang")
        pathlib.Path(self.path).write_bytes(damaged)
        with self.assertRaisesRegex(ValueError, "is damaged"):
            make_model().load_weights(self.path)

    @parameterized.parameters(False, True)
    def test_a_bank_of_another_version(self, running):
        model = make_model()
        with mock.patch.object(file_format, "VERSION", 99):
            learn(model, 0)
            if running:
                begin(model, 1)
            model.save(self.path)
        message = "format version 99.*Load it with the release"
        # Keras makes it one of its own.
        with self.assertRaisesRegex(ValueError, message):
            keras.models.load_model(self.path)

    def test_weights_alone_carry_all_tasks(self):
        model = make_model()
        learn(model, 0)
        learn(model, 1)
        model.save(self.path)
        self.path = self.path.replace(".keras", ".weights.h5")
        model.save_weights(self.path)
        (stored,) = self.stored_arrays().values()
        self.assertEqual(stored.tobytes(), model.bank.to_bytes())
        for path in (self.path, self.path.replace(".weights.h5", ".keras")):
            other = make_model()
            for number in (0, 1):
                begin(other, number)
                other.discard_task()
            other.load_weights(path)
            self.check_same(other, model)

    def test_failed_save_leaves_the_file_as_it_was(self):
        model = make_model()
        learn(model, 0)
        model.save(self.path)
        before = pathlib.Path(self.path).read_bytes()
        with (
            mock.patch.object(type(model), "get_config", side_effect=TypeError),
            self.assertRaises(TypeError),
        ):
            model.save(self.path)
        self.assertEqual(pathlib.Path(self.path).read_bytes(), before)
        files = os.listdir(os.path.dirname(self.path))
        self.assertEqual(files, ["model.keras"])
        learn(model, 1)
        with mock.patch("builtins.input", return_value="n"):
            model.save(self.path, overwrite=False)
        self.assertEqual(pathlib.Path(self.path).read_bytes(), before)
        with mock.patch("builtins.input", return_value="y"):
            model.save(self.path, overwrite=False)
        self.check_same(keras.models.load_model(self.path), model)

    def test_stopped_save_of_a_running_task_leaves_the_file_as_it_was(self):
        model = make_model()
        begin(model)
        model.save(self.path)
        before = pathlib.Path(self.path).read_bytes()
        with mock.patch.object(
            tsn_keras.ContinualModel,
            "save_own_variables",
            side_effect=KeyboardInterrupt,
        ):
            with self.assertRaises(KeyboardInterrupt):
                model.save(self.path)
        self.assertEqual(pathlib.Path(self.path).read_bytes(), before)
        files = os.listdir(os.path.dirname(self.path))
        self.assertEqual(files, ["model.keras"])
        loaded = keras.models.load_model(self.path)
        self.assertEqual(loaded.tasks, ("task 0",))

    def test_weights_of_a_running_task_do_not_reach_the_config(self):
        model = make_model(mlp(512))
        learn(model, 0)
        model.save(self.path)
        with zipfile.ZipFile(self.path) as archive:
            self.assertLess(len(archive.read("config.json")), 10_000)
