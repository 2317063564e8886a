"""Images in files: read, brought to one size, or found to be none."""

import concurrent.futures
import os
import sys
import time
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

# Longer reading shows how far it is.
SECONDS_WITHOUT_BAR = 5.0
# Names that no user gave: of macOS, notebooks, version control.
# With what files begin that TensorFlow may decode. It would log every other.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
HIDDEN = (".", "__MACOSX")


def is_hidden(name: str) -> bool:
    """Tells whether a file or folder is none of the user's data."""
    return name.startswith(HIDDEN)


def pixels_of(content: tf.Tensor, image_size: tuple[int, int]) -> tf.Tensor:
    """Decodes an image and brings it to a size.

    Of an animation this is the first frame. What is transparent becomes white.

    Args:
        content: The bytes of a file, a scalar.

    Returns:
        uint8 `[height, width, 3]`.
    """
    image = tf.io.decode_image(content, channels=0, expand_animations=False)
    shape = tf.shape(image)
    # Two and four channels: the last one is how opaque a pixel is.
    has_alpha = tf.equal(shape[-1] % 2, 0)
    image = tf.cond(
        has_alpha, lambda: _on_white(image), lambda: tf.cast(image, tf.float32)
    )
    image = tf.broadcast_to(image, (shape[0], shape[1], 3))
    image = tf.image.resize(image, image_size, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def _on_white(image: tf.Tensor) -> tf.Tensor:
    image = tf.cast(image, tf.float32)
    opaque = image[..., -1:] / 255.0
    return image[..., :-1] * opaque + 255.0 * (1.0 - opaque)


def grey_of(pixels: tf.Tensor) -> tf.Tensor:
    """Returns uint8 pixels `[..., 3]` as `[..., 1]`; grey ones are kept."""
    weights = tf.constant([0.299, 0.587, 0.114])
    grey = tf.tensordot(tf.cast(pixels, tf.float32), weights, 1)
    return tf.cast(tf.round(grey), tf.uint8)[..., tf.newaxis]


class ReadImages:
    """What reading all files of a task once has shown.

    Args:
        keep: Whether the pixels are kept: uint8 `[files, height, width, 3]`.

    Attributes:
        rows: Numbers of the files that are images.
        in_colour: Whether any of the images is.
        skipped: Why the other files are no images, by their paths.
    """

    def __init__(
        self,
        paths: Sequence[str],
        image_size: tuple[int, int],
        keep: bool,
        verbose: bool = False,
    ) -> None:
        self.in_colour = False
        self.skipped: dict[str, str] = {}
        rows = []
        shape = (len(paths), *image_size, 3)
        kept = np.empty(shape, np.uint8) if keep else None

        def read(path):
            return read_pixels(path, image_size)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
            results = threads.map(read, paths)
            if verbose:
                results = _with_bar(results, len(paths))
            for row, (pixels, reason) in enumerate(results):
                if reason:
                    self.skipped[paths[row]] = reason
                    continue
                self.in_colour |= bool((pixels != pixels[..., :1]).any())
                if keep:
                    kept[len(rows)] = pixels
                rows.append(row)
        self.rows = np.array(rows, np.int64)
        self._pixels = kept[: len(rows)] if keep else None

    def take_pixels(self, is_grey: bool) -> np.ndarray | None:
        """Gives the pixels away, if they were kept; perhaps as grey ones."""
        pixels, self._pixels = self._pixels, None
        if pixels is None or not is_grey:
            return pixels
        grey = np.empty((*pixels.shape[:-1], 1), np.uint8)
        # Few at a time, since they become float32 in between.
        for image, target in zip(pixels, grey):
            target[:] = grey_of(image)
        return grey


def read_pixels(
    path: str | os.PathLike, image_size: tuple[int, int]
) -> tuple[np.ndarray | None, str]:
    """Returns pixels `[height, width, 3]` of a file, or why there are none."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        if not content:
            return None, "empty"
        if not content.startswith(BEGINNINGS):
            return None, "no image: JPEG, PNG, GIF, BMP and WebP are read"
        # TensorFlow takes the numbers of colours for colours.
        if content[:2] == b"BM" and content[28:29] < b"\x10":
            return None, "BMP with a palette; save it as PNG"
        with tf.device("CPU:0"):
            return pixels_of(tf.constant(content), image_size).numpy(), ""
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except tf.errors.OpError:
        return None, "damaged, or of a kind that TensorFlow does not read"


def _with_bar(results: Iterator, total: int) -> Iterator:
    """Passes results on; a terminal shows how many, if it takes long."""
    is_live = sys.stdout.isatty() or "ipykernel" in sys.modules
    start = time.monotonic()
    bar = keras.utils.Progbar(total, unit_name="image")
    for count, result in enumerate(results, 1):
        yield result
        if is_live and time.monotonic() - start > SECONDS_WITHOUT_BAR:
            bar.update(count)
