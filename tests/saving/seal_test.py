"""Tests that what was changed, lost or exchanged in a saved file is refused."""

import contextlib
import functools
import io
import json
import os
import pathlib
import shutil
import tempfile
import zipfile
from unittest import mock

import keras
import numpy as np
from absl.testing import parameterized

import tsn_keras
from tests.digits_tasks import begin, digits, learn, make_model, mlp

BETWEEN, MIDDLE, START = "between tasks", "in a task", "before a task"
KINDS = (BETWEEN, MIDDLE, START)
CONFIG, METADATA = "config.json", "metadata.json"
INPUTS = digits(0, slice(0, 5))[0]


def outcome(model):
    """Returns all that must be equal, or the file must be refused."""
    logits = np.asarray(model(INPUTS)).tobytes() if model.tasks else b""
    reports = [str(model.report(name)) for name in model.bank.tasks]
    kernels = [np.asarray(k.kernel).tobytes() for k in model.switch.kernels]
    start = [] if model.tasks else kernels
    config = json.dumps(model.get_config())
    return model.tasks, model.bank.to_bytes(), logits, reports, config, start


@functools.cache
def saved(kind, seed=1, units=8):
    """Returns the members of a saved file, and the outcome of its model."""
    keras.utils.set_random_seed(seed)
    backbone = mlp(units)
    backbone.layers[0].set_weights([w + seed for w in backbone.get_weights()])
    model = make_model(backbone, seed=seed)
    if kind == BETWEEN:
        learn(model, seed, epochs=1)
    if kind == MIDDLE:
        begin(model, seed, epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        model.save(path)
        return pathlib.Path(path).read_bytes(), outcome(model)


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_of(parts):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


class SealTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.folder, "model.keras")

    def load(self, content):
        pathlib.Path(self.path).write_bytes(content)
        return keras.models.load_model(self.path)

    def check_refused_or_equal(self, content, expected):
        """Returns whether a file was refused."""
        try:
            loaded = self.load(content)
        except Exception:
            return True
        self.assertEqual(outcome(loaded), expected)
        return False

    @parameterized.parameters(*KINDS)
    def test_missing_members(self, kind):
        content, expected = saved(kind)
        parts = members(content)
        self.check_refused_or_equal(archive_of(parts), expected)
        for name in parts:
            rest = archive_of({n: p for n, p in parts.items() if n != name})
            refused = self.check_refused_or_equal(rest, expected)
            self.assertTrue(refused or name == METADATA, name)

    def test_the_message_of_a_missing_bank(self):
        parts = members(saved(BETWEEN)[0])
        for name in ("assets/bank", METADATA):
            rest = {n: p for n, p in parts.items() if n != name}
            message = "is damaged: the bank.*with 1 task.*is not found"
            with self.assertRaisesRegex(ValueError, message):
                self.load(archive_of(rest))

    @parameterized.product(kind=KINDS, units=(8, 9))
    def test_members_of_another_model(self, kind, units):
        content, expected = saved(kind)
        parts, others = members(content), members(saved(kind, 7, units)[0])
        for name in parts:
            mixed = archive_of({**parts, name: others[name]})
            refused = self.check_refused_or_equal(mixed, expected)
            harmless = (METADATA, "model.weights.npz")
            self.assertEqual(refused, name not in harmless, name)

    def test_weights_of_other_moments(self):
        for one, two in [(MIDDLE, START), (START, MIDDLE)]:
            (content, expected), (other, _) = saved(one), saved(two)
            weights = {"model.weights.h5": members(other)["model.weights.h5"]}
            mixed = archive_of({**members(content), **weights})
            self.assertTrue(self.check_refused_or_equal(mixed, expected))

    @parameterized.parameters(0, 8, 9, 40, -1)
    def test_truncated_banks(self, length):
        parts = members(saved(BETWEEN)[0])
        parts["assets/bank"] = parts["assets/bank"][:length]
        with self.assertRaises(ValueError):
            self.load(archive_of(parts))

    @parameterized.parameters(*KINDS)
    def test_flipped_bits(self, kind):
        """Spread over the ZIP's headers and directory, and over the rest."""
        content, expected = saved(kind)
        generator = np.random.default_rng(0)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            end = archive.start_dir
            starts = [info.header_offset for info in archive.infolist()]
        headers = [start + i for start in starts for i in range(50)]
        headers += range(end, len(content))
        positions = [
            *generator.choice(headers, 25, replace=False),
            *generator.choice(len(content), 10, replace=False),
        ]
        for position in positions:
            changed = bytearray(content)
            changed[position] ^= 1 << generator.integers(8)
            self.check_refused_or_equal(bytes(changed), expected)

    @parameterized.parameters(
        (b'"relu"', b'"selu"'), (b'"seed": 1', b'"seed": 5')
    )
    def test_a_changed_configuration(self, old, new):
        parts = members(saved(BETWEEN)[0])
        self.assertIn(old, parts[CONFIG])
        parts[CONFIG] = parts[CONFIG].replace(old, new)
        with self.assertRaisesRegex(ValueError, "configuration was changed"):
            self.load(archive_of(parts))

    def test_a_changed_configuration_of_compile(self):
        parts = members(saved(BETWEEN)[0])
        old, new = b'"from_logits": true', b'"from_logits": false'
        self.assertIn(old, parts[CONFIG])
        parts[CONFIG] = parts[CONFIG].replace(old, new)
        content = archive_of(parts)
        with self.assertRaisesRegex(ValueError, "`compile` in it is not"):
            self.load(content)
        keras.models.load_model(self.path, compile=False)

    def test_files_without_a_seal(self):
        """As they were before configurations had one."""
        for kind in KINDS:
            content, expected = saved(kind)
            parts = members(content)
            config = json.loads(parts[CONFIG])
            del config["config"]["seal"]
            parts[CONFIG] = json.dumps(config).encode()
            self.assertEqual(outcome(self.load(archive_of(parts))), expected)
            parts.pop("assets/bank", None)
            if kind == BETWEEN:
                with self.assertRaisesRegex(ValueError, "no weight bank"):
                    self.load(archive_of(parts))


class OtherThreadsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "model.keras")

    def save_while(self, model, change):
        """Saves a model and changes it when its configuration is known."""
        get_config = type(model).get_config

        def changing(model):
            config = get_config(model)
            change(model)
            return config

        with mock.patch.object(type(model), "get_config", changing):
            model.save(self.path)

    def load(self, content):
        pathlib.Path(self.path).write_bytes(content)
        return keras.models.load_model(self.path)

    def test_a_task_is_added(self):
        content, (_, bank, *_) = saved(BETWEEN)
        model = self.load(content)
        add = functools.partial(model.add_task, "new", keras.layers.Dense(10))
        self.save_while(model, lambda _: add())
        loaded = keras.models.load_model(self.path)
        self.assertEqual(loaded.bank.to_bytes(), bank)
        self.assertEqual(loaded.tasks, model.tasks[:1])

    def test_a_task_ends(self):
        content, expected = saved(MIDDLE)
        model = self.load(content)
        with self.assertRaisesRegex(RuntimeError, "Save it again"):
            self.save_while(model, lambda model: model.discard_task())
        loaded = keras.models.load_model(self.path)
        self.assertEqual(outcome(loaded), expected)


class FolderTest(parameterized.TestCase):
    """Nothing but the seal guards a folder: it has no checksums."""

    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = pathlib.Path(self.folder, "model")

    def unpack(self, content):
        shutil.rmtree(self.path, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(self.path)

    def change(self, name, old, new):
        file = self.path / name
        content = file.read_bytes()
        self.assertEqual(content.count(old), 1, name)
        file.write_bytes(content.replace(old, new))

    @parameterized.parameters(*KINDS)
    def test_missing_files(self, kind):
        content, expected = saved(kind)
        for name in members(content):
            self.unpack(content)
            self.assertEqual(
                outcome(keras.models.load_model(self.path)), expected
            )
            (self.path / name).unlink()
            if name == METADATA and kind != BETWEEN:
                continue
            # Keras looks for some of them in a `finally`.
            with self.assertRaises((ValueError, UnboundLocalError)):
                keras.models.load_model(self.path)

    def test_flipped_bits(self):
        for kind, name in [(MIDDLE, "model.weights.h5"), (BETWEEN, CONFIG)]:
            content, expected = saved(kind)
            whole = members(content)[name]
            generator = np.random.default_rng(1)
            for position in generator.choice(len(whole), 25, replace=False):
                self.unpack(content)
                changed = bytearray(whole)
                changed[position] ^= 1 << generator.integers(8)
                (self.path / name).write_bytes(changed)
                try:
                    loaded = keras.models.load_model(self.path)
                except Exception:
                    continue
                self.assertEqual(outcome(loaded), expected)


class WeightsTest(parameterized.TestCase):
    def test_flipped_bits(self):
        """A file that is refused changes nothing."""
        content, expected = saved(MIDDLE)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.keras")
            path.write_bytes(content)
            model = keras.models.load_model(path)
            path = pathlib.Path(folder, "model.weights.h5")
            model.save_weights(path)
            whole, generator = path.read_bytes(), np.random.default_rng(2)
            refused = 0
            for position in generator.choice(len(whole), 30, replace=False):
                changed = bytearray(whole)
                changed[position] ^= 1 << generator.integers(8)
                path.write_bytes(changed)
                try:
                    model.load_weights(path)
                except Exception:
                    refused += 1
                self.assertEqual(outcome(model), expected)
        self.assertGreater(refused, 3)


class VocabularyTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = os.path.join(self.folder, "model.keras")

    def model(self, **arguments):
        texts = np.array([["good film"], ["bad film"], ["great fun"]])
        words = keras.layers.TextVectorization(9, **arguments)
        words.adapt(texts)
        layers = [keras.Input((1,), dtype="string"), words]
        hidden = keras.layers.Dense(4)
        if not arguments:
            layers.append(keras.layers.Embedding(9, 4))
            hidden = keras.layers.GlobalAveragePooling1D()
        model = tsn_keras.ContinualModel(keras.Sequential([*layers, hidden]))
        model.add_task("a", keras.layers.Dense(2))
        return model, keras.ops.convert_to_tensor(texts)

    def test_weights_of_words(self):
        model, texts = self.model(output_mode="tf_idf")
        model.save(self.path)
        loaded = keras.models.load_model(self.path)
        np.testing.assert_array_equal(
            *(one.backbone(texts) for one in (model, loaded))
        )

    def test_a_missing_vocabulary(self):
        model, _ = self.model()
        model.save(self.path)
        parts = members(pathlib.Path(self.path).read_bytes())
        for name in (METADATA, "assets/adapted_0/vocabulary.txt"):
            rest = {n: p for n, p in parts.items() if n != name}
            pathlib.Path(self.path).write_bytes(archive_of(rest))
            with self.assertRaisesRegex(ValueError, "the vocabulary in it"):
                keras.models.load_model(self.path)

    def test_a_relative_folder(self):
        model, texts = self.model()
        with contextlib.chdir(self.folder):
            model.save("folder", zipped=False)
            loaded = keras.models.load_model("folder")
        np.testing.assert_array_equal(
            *(one.backbone(texts) for one in (model, loaded))
        )
