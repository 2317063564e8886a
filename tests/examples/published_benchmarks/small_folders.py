"""Folders laid out as data sets are published, with a few small images."""

import keras
import numpy as np


def make_tiny_imagenet(root, classes=10, images=4):
    """Makes a small folder as `tiny-imagenet-200` is."""
    names = [f"n{number:08}" for number in range(classes)]
    (root / "wnids.txt").write_text("\n".join(names) + "\n")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for number, name in enumerate(names):
        folder = root / "train" / name / "images"
        folder.mkdir(parents=True)
        paths = [folder / f"{name}_{i}.JPEG" for i in range(images)]
        file = f"val_{number}.JPEG"
        lines.append(f"{file}\t{name}\t0\t0\t62\t62")
        for path in (*paths, root / "val" / "images" / file):
            image = np.full((64, 64, 3), 20 * number)
            keras.utils.save_img(path, image, scale=False)
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")


def make_letters(root, letters="ABCDEFGHIJ"):
    for number, letter in enumerate(letters):
        (root / letter).mkdir(parents=True)
        for image in range(4):
            keras.utils.save_img(
                root / letter / f"{image}.png",
                np.full((28, 28, 1), 25 * number + image),
                scale=False,
            )
