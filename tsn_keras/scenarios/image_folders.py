"""Tasks whose images lie in folders."""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tsn_keras.data import check_flags, check_paths, shown
from tsn_keras.scenarios import image_files, pipeline, scenario, splits
from tsn_keras.scenarios.folder_layout import TaskFiles, find_tasks
from tsn_keras.scenarios.splits import PARTS, TEST, TRAIN, VALIDATION

CHANNELS = {"auto": None, "rgb": 3, "grayscale": 1}
# Pixels of so many bytes are kept in memory, those of all tasks together.
MOST_KEPT_BYTES = 1 << 28
MOST_SKIPPED_TOLD = 3


class ImageFolders(scenario.Scenario):
    """Tasks from folders of images, as `from_image_folders` makes them.

    Attributes:
        image_size: Height and width to which all images are brought.
        color_mode: `"rgb"` or `"grayscale"`.
        skipped: dict of the files that were left out: why, by their paths.
    """

    def __init__(
        self,
        tasks: Sequence["FolderTask"],
        image_size: tuple[int, int],
        color_mode: str,
        skipped: Mapping[str, str],
    ) -> None:
        self._tasks = tuple(tasks)
        self.image_size = image_size
        self.color_mode = color_mode
        self.skipped = dict(skipped)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the inputs of all tasks."""
        return (*self.image_size, CHANNELS[self.color_mode])

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        lines = [
            f"{len(self)} tasks with images of {self.input_shape}, "
            f"files left out: {len(self.skipped)}"
        ]
        for task in self._tasks:
            counts = "/".join(str(task.rows[part].size) for part in PARTS)
            lines.append(
                f"  {task.files.name}: {len(task.files.class_names)} classes, "
                f"{counts} images to train/validate/test"
            )
        return "\n".join(lines)

    def read_image(self, path: str | os.PathLike) -> np.ndarray:
        """Reads an image as the tasks take it, to predict with.

        Returns:
            float32 `[1, height, width, channels]`: a batch of one.
        """
        check_paths(path=path)
        pixels, reason = image_files.read_pixels(path, self.image_size)
        if pixels is None:
            raise ValueError(f"'{path}' is no image to read: {reason}")
        return _inputs(pixels[np.newaxis], self.color_mode).numpy()

    def _build(self, index: int) -> scenario.Task:
        return self._tasks[index].build(self.image_size, self.color_mode)


@dataclasses.dataclass(frozen=True)
class FolderTask:
    """The images of a task, in files or decoded, and the parts they are in.

    Args:
        rows: Which files are in a part.
        pixels: uint8 `[files, height, width, channels]`, or None if they are
            read from the files.
    """

    files: TaskFiles
    rows: dict[str, np.ndarray]
    batch_size: int
    order_seed: int
    pixels: tf.Tensor | None

    def build(self, image_size, color_mode) -> scenario.Task:
        shape = (*image_size, CHANNELS[color_mode])
        with tf.device("CPU:0"):
            labels = tf.constant(self.files.labels)
            paths = tf.constant(self.files.paths)

        def read(rows):
            if self.pixels is None:
                pixels = tf.map_fn(
                    lambda path: image_files.pixels_of(
                        tf.io.read_file(path), image_size
                    ),
                    tf.gather(paths, rows),
                    fn_output_signature=tf.TensorSpec(
                        (*image_size, 3), tf.uint8
                    ),
                )
                x = _inputs(pixels, color_mode)
            else:
                x = tf.cast(tf.gather(self.pixels, rows), tf.float32) / 255.0
            return x, tf.gather(labels, rows)

        large = pipeline.evaluation_batch_size(
            self.batch_size, 4 * int(np.prod(shape))
        )
        sizes = dict.fromkeys(PARTS, large)
        sizes[TRAIN] = self.batch_size
        seeds = {TRAIN: self.order_seed}
        data = {
            part: pipeline.batches_of_rows(
                read, self.rows[part], sizes[part], seeds.get(part)
            )
            for part in PARTS
        }
        names = list(self.files.class_names)
        return scenario.Task(
            name=self.files.name,
            num_classes=len(names),
            input_shape=shape,
            class_names=names,
            **data,
        )


def _inputs(pixels: tf.Tensor, color_mode: str) -> tf.Tensor:
    """Returns what tasks take, of uint8 pixels `[batch, height, width, 3]`."""
    if color_mode == "grayscale":
        pixels = image_files.grey_of(pixels)
    return tf.cast(pixels, tf.float32) / 255.0


def from_image_folders(
    path: Any,
    image_size: tuple[int, int] = (64, 64),
    color_mode: str = "auto",
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.2,
    seed: int = 0,
    verbose: bool = True,
) -> ImageFolders:
    """Makes tasks from images in folders.

    ```
    path/TASK/CLASS/IMAGES              split here
    path/TASK/train/CLASS/IMAGES        and validation/, test/ beside train/
    ```

    Tasks and classes come in the order of their folders' names. Without folders
    of parts, or if one is missing, its images are split off the training
    images: so many of each class, at least one, and the same ones each time.
    `validation` may be `val` too. Names that begin with a dot are passed over.

    Images are JPEG, PNG, GIF (the first frame), BMP and WebP, known by their
    content. They are stretched to `image_size`, and their values lie between 0
    and 1. What is transparent becomes white. As in Keras, the orientation that
    cameras write into files is not read.

    All files are read once at the start, which finds those that are damaged or
    no images: they are left out, with a warning, and listed in `skipped`. If
    the resized images of all tasks fit in 256 MB as uint8, they are kept so;
    else they are read from disk batch by batch.

    Args:
        path: The folder of all tasks; or the folder of each task, as
            `keras.utils.image_dataset_from_directory` takes them, in a dict
            `{name: folder}` or a list.
        image_size: Height and width of the inputs. All tasks of one network
            have the same, those that come later too.
        color_mode: `"rgb"`, `"grayscale"`, or `"auto"`: colour if any image is
            in colour.
        batch_size: Images in a training batch.
        validation_split: Fraction of the images that validate, where there is
            no folder for it; `test_split` likewise.
        seed: Seed of the split and of the order of training images.
        verbose: Whether a progress bar is shown if reading takes long.

    Returns:
        A `Scenario` with `input_shape`, `color_mode`, `skipped` and
        `read_image(path)`. Its tasks have the names of their classes in
        `class_names`.

    Raises:
        ValueError: If folders are missing, empty or not laid out so, or a class
            has too few images, or none in a part.

    Example:

    ```python
    scenario = tsn_keras.scenarios.from_image_folders("my_images")
    print(scenario)
    backbone = keras.Sequential([keras.Input(scenario.input_shape), ...])
    ```
    """
    size = scenario.checked_size(image_size)
    if color_mode not in CHANNELS:
        raise ValueError(
            f"`color_mode` must be one of {list(CHANNELS)}. Received: "
            f"color_mode={shown(color_mode)}"
        )
    batch_size = scenario.checked_int("batch_size", batch_size, 1)
    seed = scenario.checked_int("seed", seed, 0)
    fractions = dict(validation_split=validation_split, test_split=test_split)
    splits.check_splits(**fractions)
    check_flags(verbose=verbose)
    found, skipped = find_tasks(path)

    number = sum(len(files.paths) for files in found)
    keep = number * size[0] * size[1] * 3 <= MOST_KEPT_BYTES
    images = []
    for files in found:
        read = image_files.ReadImages(files.paths, size, keep, verbose)
        skipped |= files.skipped | read.skipped
        images.append(read)
    if color_mode == "auto":
        in_colour = any(read.in_colour for read in images)
        color_mode = "rgb" if in_colour else "grayscale"
    tasks = []
    for files, read in zip(found, images):
        files = files.only(read.rows)
        pixels = read.take_pixels(is_grey=color_mode == "grayscale")
        tasks.append(
            FolderTask(
                files=files,
                rows=_parts(files, fractions, seed, read.skipped),
                batch_size=batch_size,
                order_seed=splits.order_seed(seed, files.name),
                pixels=None if pixels is None else pipeline.on_host(pixels),
            )
        )
    if skipped:
        first = list(skipped.items())[:MOST_SKIPPED_TOLD]
        listed = "".join(f"\n  {path}: {reason}" for path, reason in first)
        more = len(skipped) - len(first)
        rest = f"\n  and {more} more" if more else ""
        warnings.warn(
            f"Files left out: {len(skipped)}. `skipped` of the scenario lists "
            f"them:{listed}{rest}",
            stacklevel=2,
        )
    return ImageFolders(tasks, size, color_mode, skipped)


def _parts(
    files: TaskFiles,
    fractions: Mapping[str, float],
    seed: int,
    skipped: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """Returns the rows of each part, as the folders have it or else split."""
    given = {part: np.flatnonzero(files.parts == part) for part in PARTS}
    rows = {part: given[part] for part in PARTS if given[part].size}
    # All images that are to be split, or train.
    whole = np.flatnonzero((files.parts == "") | (files.parts == TRAIN))
    missing = {
        part: fractions[f"{part}_split"]
        for part in (VALIDATION, TEST)
        if part not in rows
    }
    purposes = " and ".join(["train", *missing])
    for part, there in {**rows, TRAIN: whole}.items():
        least = 1 + len(missing) if part == TRAIN else 1
        _check_counts(files, there, part, least, purposes, skipped)
    cut = splits.split(
        files.labels[whole],
        missing,
        splits.seed_of(seed, files.name, scenario.SPLIT),
    )
    return rows | {part: whole[taken] for part, taken in cut.items()}


def _check_counts(files, rows, part, least, purposes, skipped) -> None:
    counts = np.bincount(files.labels[rows], minlength=len(files.class_names))
    for name, count in zip(files.class_names, counts):
        if count >= least:
            continue
        has = "no image" if not count else f"only {count} image"
        has += "s" if count > 1 else ""
        of = f" in its {part} part" if part != TRAIN else ""
        left_out = ""
        if skipped:
            example, reason = next(iter(skipped.items()))
            left_out = (
                f" Files of the task that were left out: {len(skipped)}, such "
                f"as '{example}' ({reason})."
            )
        raise ValueError(
            f"Class '{name}' of task '{files.name}' has {has}{of} in "
            f"'{files.folder}'. It needs at least {least}"
            + (f", to {purposes}" if least > 1 else "")
            + f".{left_out} Add images, or remove the class."
        )
