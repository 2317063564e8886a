"""TinyImageNet, from the folder `tiny-imagenet-200` as it is published."""

import pathlib

import keras
import numpy as np

import tsn_keras

IMAGE = (64, 64)
ANNOTATIONS = "val/val_annotations.txt"
REMEDY = (
    "`--tiny_imagenet` must be the folder `tiny-imagenet-200` of the archive, "
    "with wnids.txt, train/WNID/images/*.JPEG, val/images/*.JPEG and "
    f"{ANNOTATIONS}"
)


def read(folder: str | None) -> tsn_keras.scenarios.ImageData:
    """Reads all images; those of `val` test, since `test` has no labels.

    Raises:
        FileNotFoundError: If a file is missing, with its name.
    """
    if folder is None:
        raise ValueError(f"There is no data set to read. {REMEDY}.")
    root = pathlib.Path(folder)
    names = _existing(root / "wnids.txt").read_text().split()
    train = [
        (path, label)
        for label, name in enumerate(names)
        for path in _images(root / "train" / name / "images")
    ]
    numbers = {name: label for label, name in enumerate(names)}
    test = []
    for line in _existing(root / ANNOTATIONS).read_text().splitlines():
        file, name = line.split("\t")[:2]
        if name not in numbers:
            raise ValueError(
                f"'{root / ANNOTATIONS}' names the class {name!r}, which "
                f"'{root / 'wnids.txt'}' does not. {REMEDY}."
            )
        test.append((_existing(root / "val/images" / file), numbers[name]))
    return tsn_keras.scenarios.ImageData(
        _arrays(train), _arrays(test), len(names)
    )


def _existing(path: pathlib.Path) -> pathlib.Path:
    if not path.exists():
        raise FileNotFoundError(f"'{path}' is missing. {REMEDY}.")
    return path


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    found = sorted(_existing(folder).glob("*.JPEG"))
    if not found:
        raise FileNotFoundError(f"'{folder}' holds no *.JPEG. {REMEDY}.")
    return found


def _arrays(examples) -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((len(examples), *IMAGE, 3), np.uint8)
    for row, (path, _) in enumerate(examples):
        images[row] = keras.utils.load_img(path, target_size=IMAGE)
    return images, np.array([label for _, label in examples])
