"""What `save` and `load_weights` of a `ContinualModel` do with a path."""

import os
from collections.abc import Callable

import keras

from tsn_keras.files import complete_file
from tsn_keras.saving import archive, refusals, seal, stores


def save(
    model: keras.Model,
    filepath: str | os.PathLike,
    overwrite: bool,
    zipped: bool | None,
    plain: Callable,
) -> None:
    """Saves a model.

    Args:
        plain: Saves as Keras does, to a path.
    """
    refusals.check_model_path(filepath, zipped)
    if archive.is_written_by_keras(filepath, overwrite, zipped):
        archive.save_by_keras(filepath, overwrite, zipped, plain)
    elif model.running_task is not None or not model.tasks:
        with complete_file(filepath) as path, seal.unchanged(model):
            plain(path)
    else:
        archive.write_archive(filepath, model, plain)


def load_weights(
    model: keras.Model, filepath: str | os.PathLike, plain: Callable
) -> None:
    """Loads all tasks of a file, and the running one if it has one.

    Args:
        plain: Loads as Keras does, from a path.
    """
    refusals.check_weights_path(filepath)
    saved = archive.read_bank(filepath)
    with model.seal.alone(bank_apart=saved is not None):
        if saved is None or archive.holds_weights(filepath):
            plain(filepath)
        if saved is not None:
            stores.load_bank(saved, {}, model)
