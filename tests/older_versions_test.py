"""Tests that models saved by earlier versions of the format load.

`tests/saved/version_N.keras` was written by the last commit with version N of
the bank's format: two tasks, `a` and `b`; the `.npz` beside it holds the
logits of both as they were then.
"""

import io
import pathlib
import tempfile
import zipfile

import h5py
import keras
import numpy as np
from absl.testing import parameterized

SAVED = pathlib.Path(__file__).parent / "saved"
ROWS = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)


class OlderVersionsTest(parameterized.TestCase):
    @parameterized.parameters(1, 2)
    def test_loads_and_learns_on(self, version):
        model = keras.models.load_model(SAVED / f"version_{version}.keras")
        self.assertEqual(model.tasks, ("a", "b"))
        with np.load(SAVED / f"version_{version}.npz") as expected:
            for task in "ab":
                found = model.predict(ROWS, task=task, verbose=0)
                np.testing.assert_allclose(found, expected[task], atol=1e-6)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(64, 6)).astype(np.float32)
        y = rng.integers(0, 3, 64)
        before = model.predict(ROWS, task="a", verbose=0)
        model.add_task("c", keras.layers.Dense(3))
        model.fit(x, y, verbose=0)
        model.consolidate((x, y), verbose=0)
        found = model.predict(ROWS, task="a", verbose=0)
        self.assertEqual(found.tobytes(), before.tobytes())

    def test_a_later_version_says_so(self):
        def raise_version(name, item):
            if isinstance(item, h5py.Dataset) and item[:4].tobytes() == b"TSNB":
                bank = item[()]
                bank[4] = 99
                item[...] = bank

        with zipfile.ZipFile(SAVED / "version_2.keras") as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        weights = io.BytesIO(files["model.weights.h5"])
        with h5py.File(weights, "r+") as file:
            file.visititems(raise_version)
        files["model.weights.h5"] = weights.getvalue()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "later.keras"
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            message = "format version 99.*Load it with the release"
            with self.assertRaisesRegex(ValueError, message):
                keras.models.load_model(path)
