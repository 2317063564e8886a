"""Puts the runner beside the files that go to a device."""

import os
import pathlib

from tsn_keras.data import check_paths
from tsn_keras.files import complete_file
from tsn_keras.lite import runner


def copy_runner(folder: str | os.PathLike) -> pathlib.Path:
    """Writes `runner.py` into a folder, for a device.

    It is `lite.TaskRunner` in one file, which needs `ai-edge-litert` and
    `numpy` only: neither tsn_keras nor Keras nor TensorFlow.

    >>> folder = getfixture("tmp_path")
    >>> tsn_keras.lite.copy_runner(folder).name
    'runner.py'

    Args:
        folder: str or path of a folder, such as that of a bundle.

    Returns:
        path of the file.

    Raises:
        FileExistsError: If the folder has a `runner.py` of another kind.
        NotADirectoryError: If there is no such folder.
    """
    check_paths(folder=folder)
    if not pathlib.Path(folder).is_dir():
        raise NotADirectoryError(
            f"`folder` must be a folder that is there. Received: '{folder}'"
        )
    path = pathlib.Path(folder, "runner.py")
    source = pathlib.Path(runner.__file__).read_bytes()
    title = runner.__doc__.partition("\n")[0].encode()
    if path.exists() and title not in path.read_bytes():
        raise FileExistsError(
            f"'{path}' is a file of your own. Move it, or choose another "
            f"`folder`. Received: folder='{folder}'"
        )
    with complete_file(path) as file:
        file.write_bytes(source)
    return path
