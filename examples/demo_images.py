"""Draws a folder of images, for those who have none at hand.

Four tasks of 2, 3, 5 and 5 classes. Sizes differ, half of the images are grey
where colour does not matter, and two files are no images, as in real folders.
"""

import pathlib

import numpy as np
import tensorflow as tf

TASKS = {
    "shapes": ("circle", "square"),
    "stripes": ("diagonal", "horizontal", "vertical"),
    "colours": ("blue", "green", "red", "violet", "yellow"),
    "patterns": ("checks", "cross", "dots", "ring", "triangle"),
}
COLOURS = {
    "blue": (0.1, 0.2, 0.9),
    "green": (0.1, 0.8, 0.2),
    "red": (0.9, 0.1, 0.1),
    "violet": (0.6, 0.1, 0.8),
    "yellow": (0.9, 0.9, 0.1),
}


def is_inside(kind: str, x, y, period: float) -> np.ndarray:
    """Tells which points, in units of the figure's radius, are drawn."""
    radius = np.hypot(x, y)
    inside = (abs(x) < 1) & (abs(y) < 1)
    waves = {"horizontal": y, "vertical": x, "diagonal": (x + y) / 2**0.5}
    if kind in waves:
        return np.sin(2 * np.pi * waves[kind] / period) > 0
    if kind == "checks":
        waves = np.sin(2 * np.pi * x / period), np.sin(2 * np.pi * y / period)
        return inside & (waves[0] * waves[1] > 0)
    if kind == "dots":
        nearest = (np.mod(part, period) - period / 2 for part in (x, y))
        return inside & (np.hypot(*nearest) < period / 4)
    if kind == "cross":
        return inside & ((abs(x) < 0.3) | (abs(y) < 0.3))
    if kind == "ring":
        return (radius < 1) & (radius > 0.6)
    if kind == "triangle":
        return (y < 0.8) & (y > 2 * abs(x) - 0.8)
    if kind == "square":
        return inside
    return radius < 1


def draw(kind: str, generator: np.random.Generator) -> np.ndarray:
    """Returns a uint8 image `[height, width, channels]` of any size."""
    height, width = generator.integers(40, 100, 2)
    is_grey = kind not in COLOURS and generator.random() < 0.5
    figure, ground = generator.random((2, 3)) * 0.4 + [[0.6], [0.0]]
    if kind in COLOURS:
        figure = np.array(COLOURS[kind]) * generator.uniform(0.7, 1.0)
    elif generator.random() < 0.5:
        figure, ground = ground, figure
    centre = generator.uniform(0.4, 0.6, 2) * (height, width)
    radius = generator.uniform(0.22, 0.36) * min(height, width)
    rows, columns = np.mgrid[:height, :width]
    y, x = (rows - centre[0]) / radius, (columns - centre[1]) / radius
    inside = is_inside(kind, x, y, generator.uniform(0.6, 0.9))
    image = np.where(inside[..., None], figure, ground)
    image += generator.normal(0.0, 0.08, image.shape)
    if is_grey:
        image = image.mean(axis=-1, keepdims=True)
    return np.uint8(np.clip(image, 0, 1) * 255)


def make_demo(
    folder: pathlib.Path, images_per_class: int = 100, seed: int = 0
) -> None:
    """Writes TASK/CLASS/IMAGES to a folder."""
    generator = np.random.default_rng(seed)
    for task, kinds in TASKS.items():
        for kind in kinds:
            inner = folder / task / kind
            inner.mkdir(parents=True, exist_ok=True)
            for number in range(images_per_class):
                image = draw(kind, generator)
                is_photo = number % 2 and image.shape[-1] == 3
                encode = tf.io.encode_jpeg if is_photo else tf.io.encode_png
                suffix = "jpg" if is_photo else "png"
                path = inner / f"{number:04}.{suffix}"
                path.write_bytes(encode(image).numpy())
    first = folder / "shapes" / "circle"
    (first / "notes.txt").write_text("Drawn, not photographed.")
    (first / "broken.png").write_bytes((first / "0000.png").read_bytes()[:80])
