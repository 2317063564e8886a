"""The `.keras` archive of a model between two tasks.

Keras would store the bank in an HDF5 file, which takes 7 kB for itself. In an
archive of ours the bank is a file of its own among Keras' assets, and the
weights are an empty `.npz`, so that the archive adds about 600 bytes. Whatever
else Keras saves is kept: vocabularies, and variables of a user's subclass.
The architecture and vocabularies are text, and deflated; Keras stores all as
it is. `keras.saving.load_model` reads all forms.
"""

import contextvars
import io
import json
import os
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import keras

from tsn_keras.bank import Capacity
from tsn_keras.data import check_paths
from tsn_keras.files import complete_file, complete_folder

BANK_FILE = "bank"
_BANK_MEMBER = f"assets/{BANK_FILE}"
_NO_WEIGHTS_MEMBER = "model.weights.npz"
_WEIGHTS_MEMBER = "model.weights.h5"
_CONFIG_MEMBER = "config.json"
_ASSETS = "assets/"
# The model whose bank is being written beside what Keras writes, and the bank.
_apart = contextvars.ContextVar("bank_written_apart", default=None)


def _write(file, members: dict[str, bytes], bank: bytes) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            is_text = name == _CONFIG_MEMBER or name.startswith(_ASSETS)
            deflated = zipfile.ZIP_DEFLATED if is_text and content else None
            archive.writestr(name, content, deflated)
        # It has been coded already.
        archive.writestr(_BANK_MEMBER, bank)


def _no_weights() -> bytes:
    weights = io.BytesIO()
    zipfile.ZipFile(weights, "w").close()
    return weights.getvalue()


def _holds_arrays(weights: bytes) -> bool:
    with h5py.File(io.BytesIO(weights)) as file:
        # Visits until something other than `None` is returned.
        found = file.visititems(
            lambda _, item: isinstance(item, h5py.Dataset) or None
        )
    return bool(found)


def container_bytes() -> int:
    """Returns the bytes of an archive besides bank and architecture.

    That is the ZIP directory and Keras' own metadata, whatever the bank is.
    """
    metadata = {
        "keras_version": keras.__version__,
        "date_saved": "2000-01-01@00:00:00",
    }
    members = {
        "metadata.json": json.dumps(metadata).encode(),
        _CONFIG_MEMBER: b"",
        _NO_WEIGHTS_MEMBER: _no_weights(),
    }
    archive = io.BytesIO()
    _write(archive, members, b"")
    return archive.getbuffer().nbytes


def capacity_of(model: keras.Model) -> Capacity:
    """Returns the bytes of a `ContinualModel`'s whole saved bank, by kind."""
    bank = model.bank
    if bank is None or not bank.tasks:
        raise ValueError(
            "The bank is empty: no task has been consolidated yet."
        )
    kinds = {**bank.count_bytes(), "container": container_bytes()}
    arrays = bank.private(bank.tasks[0]) + bank.base_values()
    parts = [*model.switch.kernels, *arrays]
    return Capacity(kinds, 4 * sum(part.size for part in parts))


def bank_apart(model: keras.Model) -> bytes | None:
    """Returns the bank that `write_archive` writes for a model, if it does.

    Another thread may have consolidated a task meanwhile.
    """
    written, bank = _apart.get() or (None, None)
    return bank if written is model else None


def is_written_by_keras(
    path: str | os.PathLike, overwrite: bool, zipped: bool | None
) -> bool:
    """Tells whether Keras writes a file by itself, in no archive of ours.

    It does so for folders, for paths that are no local `.keras` file, and
    where it first has to ask about a file that is there.
    """
    check_paths(filepath=path)
    asks = not overwrite and os.path.exists(path)
    is_archive = str(path).endswith(".keras") and _is_local(path)
    return zipped is False or asks or not is_archive


def save_by_keras(
    path: Any, overwrite: bool, zipped: bool | None, save: Callable
) -> None:
    """Lets Keras write a file or a folder. A folder appears when it is whole.

    Args:
        save: `keras.Model.save`, with a path and `overwrite`.
    """
    asks = not overwrite and os.path.exists(path)
    if zipped is False and _is_local(path) and not asks:
        with complete_folder(_full_path(path)) as unfinished:
            save(str(unfinished), overwrite=True)
    else:
        save(_full_path(path), overwrite=overwrite)


def _is_local(path: Any) -> bool:
    return isinstance(path, (str, os.PathLike)) and "://" not in str(path)


def _full_path(path: Any) -> Any:
    """Returns an absolute path, if a path was given and it is local.

    Keras loses the vocabularies of a folder whose path is relative.
    """
    return os.path.abspath(path) if _is_local(path) else path


def write_archive(
    path: str | os.PathLike, model: keras.Model, save: Callable[[str], None]
) -> None:
    """Writes an archive, which appears under its name when it is complete.

    `save` lets Keras write the model without the bank to a path. Everything
    but the bank is taken from there.
    """
    bank = model.bank.to_bytes()
    with complete_file(path) as unfinished:
        token = _apart.set((model, bank))
        try:
            save(unfinished)
        finally:
            _apart.reset(token)
        with zipfile.ZipFile(unfinished) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/")]
            members = {name: archive.read(name) for name in names}
        if not _holds_arrays(members[_WEIGHTS_MEMBER]):
            del members[_WEIGHTS_MEMBER]
            members[_NO_WEIGHTS_MEMBER] = _no_weights()
        _write(unfinished, members, bank)


def read_bank(path: str | os.PathLike) -> bytes | None:
    """Returns the bank in an archive, `None` if it is no archive of ours."""
    check_paths(filepath=path)
    if not os.path.isfile(path):
        return None
    if not zipfile.is_zipfile(path):
        if str(path).endswith(".keras"):
            raise ValueError(
                f"'{path}' is no file of Keras, or is damaged: it is no ZIP "
                "archive. Load another copy of the file."
            )
        return None
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if _BANK_MEMBER in names:
            return archive.read(_BANK_MEMBER)
        no_weights = _NO_WEIGHTS_MEMBER in names
        if no_weights and archive.read(_NO_WEIGHTS_MEMBER) == _no_weights():
            raise ValueError(
                f"'{path}' is damaged: the bank that belongs to it is not "
                "found in it. Load another copy of the file."
            )
        return None


def holds_weights(path: str | os.PathLike) -> bool:
    """Tells whether Keras finds weights in an archive beside the bank."""
    with zipfile.ZipFile(path) as archive:
        return _WEIGHTS_MEMBER in archive.namelist()
