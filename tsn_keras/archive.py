"""The `.keras` archive of a model between two tasks.

Keras would store the bank in an HDF5 file, which takes 7 kB for itself. In an
archive of ours the bank is a file of its own among Keras' assets, and the
weights are an empty `.npz`, so that the archive adds about 600 bytes.
`keras.saving.load_model` reads both forms.
"""

import io
import json
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Callable

import keras

BANK_FILE = "bank"
_BANK_MEMBER = f"assets/{BANK_FILE}"
_WEIGHTS_MEMBER = "model.weights.npz"
_DESCRIPTIONS = ("metadata.json", "config.json")


def _write(file, metadata: bytes, config: bytes, bank: bytes) -> None:
    weights = io.BytesIO()
    zipfile.ZipFile(weights, "w").close()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in zip(_DESCRIPTIONS, (metadata, config)):
            archive.writestr(name, content)
        archive.writestr(_WEIGHTS_MEMBER, weights.getvalue())
        archive.writestr(_BANK_MEMBER, bank)


def container_bytes() -> int:
    """Returns the bytes of an archive besides bank and architecture.

    That is the ZIP directory and Keras' own metadata, whatever the bank is.
    """
    metadata = {
        "keras_version": keras.__version__,
        "date_saved": "2000-01-01@00:00:00",
    }
    archive = io.BytesIO()
    _write(archive, json.dumps(metadata).encode(), b"", b"")
    return len(archive.getvalue())


def write_archive(
    path: str | os.PathLike, bank: bytes, save: Callable[[str], None]
) -> None:
    """Writes an archive, which appears under its name when it is complete.

    Args:
        path: str or path, ends in `.keras`.
        bank: bytes of the saved bank.
        save: function of a path; lets Keras write the model without the bank
            there, from which the architecture's JSON is taken.
    """
    target = pathlib.Path(os.path.realpath(path))
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}."
    ) as directory:
        unfinished = os.path.join(directory, target.name)
        save(unfinished)
        with zipfile.ZipFile(unfinished) as archive:
            descriptions = map(archive.read, _DESCRIPTIONS)
            metadata, config = descriptions
        _write(unfinished, metadata, config, bank)
        os.replace(unfinished, target)


def read_bank(path: str | os.PathLike) -> bytes | None:
    """Returns the bank in an archive, `None` if it is no archive of ours.

    Args:
        path: str or path of a file of weights or a model.
    """
    if not os.path.isfile(path) or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if _BANK_MEMBER not in archive.namelist():
            return None
        return archive.read(_BANK_MEMBER)
