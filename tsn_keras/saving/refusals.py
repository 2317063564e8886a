"""The ways to write or read a model that have no place for its weight bank.

All of them would succeed, and lose every task. So they are refused, if they
ask the model for anything at all.
"""

import os

from tsn_keras import keras_internals

_REMEDY = (
    "Save with `model.save('model.keras')`, or the weights alone with "
    "`model.save_weights('model.weights.h5')`."
)


def check_model_path(path: str | os.PathLike, zipped: bool | None) -> None:
    """Refuses to save a model as a legacy file, before one is opened.

    Args:
        zipped: As in `keras.Model.save`. `False` means a folder.
    """
    if _is_legacy(path) and zipped is not False:
        _refuse_legacy_file(f" Received: filepath='{path}'")


def check_weights_path(path: str | os.PathLike) -> None:
    """Refuses to load weights from a legacy file."""
    if _is_legacy(path) and not str(path).endswith(".weights.h5"):
        _refuse_legacy_file(f" Received: filepath='{path}'")


def _is_legacy(path: str | os.PathLike) -> bool:
    return str(path).endswith((".h5", ".hdf5"))


def check_no_legacy_file() -> None:
    """Refuses a configuration that goes to a legacy file, or is from one.

    Keras asks for it when the file is open already.
    """
    if keras_internals.is_in_legacy_file():
        _refuse_legacy_file()


def _refuse_legacy_file(received: str = "") -> None:
    raise ValueError(
        "Keras' legacy format HDF5 (`.h5`, `.hdf5`) has no place for the "
        "weight bank of a ContinualModel, which holds all tasks. "
        f"{_REMEDY}{received}"
    )


def refuse_variables_alone(way: str) -> None:
    """Refuses to write or read the variables of a model without its bank."""
    raise ValueError(
        f"`{way}` knows the variables of a ContinualModel, which hold one "
        f"task, and not its weight bank, which holds all tasks. {_REMEDY} To "
        "serve a task, use `model.export(folder, task=name)`."
    )
