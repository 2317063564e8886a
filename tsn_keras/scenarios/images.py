"""Labelled images in memory, the raw material of the scenarios."""

import dataclasses

import numpy as np

from tsn_keras.scenarios import tfds_arrays


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images with their labels.

    Images are `[n, height, width, channels]`, grey ones may come as
    `[n, height, width]`; labels are integers of shape `[n]` or `[n, 1]`, from
    0 to `num_classes - 1`. The dtype of the images is kept: uint8 pixels are
    divided by 255 when a scenario makes batches, floating point pixels are
    taken as they are.

    Args:
        train: Pair `(images, labels)`.
        test: Pair `(images, labels)`.
        num_classes: Number of classes; the largest label plus one by default.

    Raises:
        ValueError: If shapes, lengths, dtypes or labels do not fit together.

    Example:

    >>> import numpy as np
    >>> images = np.zeros((6, 4, 4), "uint8")
    >>> labels = np.array([0, 1, 2, 0, 1, 2])
    >>> data = ImageData((images, labels), (images[:3], labels[:3]))
    >>> data.image_shape, data.num_classes
    ((4, 4, 1), 3)
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    num_classes: int | None = None

    def __post_init__(self) -> None:
        train = _checked_pair("train", self.train)
        test = _checked_pair("test", self.test)
        if train[0].shape[1:] != test[0].shape[1:]:
            raise ValueError(
                "The images of `train` and `test` must have one shape. "
                f"Received: {train[0].shape[1:]} and {test[0].shape[1:]}. "
                "Resize one of them."
            )
        if train[0].dtype != test[0].dtype:
            # One of them would be divided by 255 and the other would not.
            raise ValueError(
                "The images of `train` and `test` must have one dtype. "
                f"Received: {train[0].dtype} and {test[0].dtype}. "
                "Convert one of them."
            )
        num_classes = self.num_classes
        if num_classes is None:
            num_classes = int(max(train[1].max(), test[1].max())) + 1
        for name, (_, labels) in (("train", train), ("test", test)):
            _check_labels(name, labels, num_classes)
        for field, value in (
            ("train", train),
            ("test", test),
            ("num_classes", int(num_classes)),
        ):
            object.__setattr__(self, field, value)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.train[0].shape[1:]

    @classmethod
    def from_arrays(
        cls,
        train: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
        num_classes: int | None = None,
    ) -> "ImageData":
        """Takes arrays as `keras.datasets.*.load_data()` returns them.

        Args:
            train: Pair `(images, labels)`.
            test: Pair `(images, labels)`.
            num_classes: Number of classes; the largest label plus one by
                default.

        Returns:
            The checked `ImageData`.

        Raises:
            ValueError: If shapes, lengths, dtypes or labels do not fit
                together.

        Example:

        ```python
        data = ImageData.from_arrays(*keras.datasets.mnist.load_data())
        ```
        """
        return cls(tuple(train), tuple(test), num_classes)

    @classmethod
    def from_tfds(
        cls,
        name: str,
        data_dir: str | None = None,
        download: bool = True,
        train_split: str = "train",
        test_split: str = "test",
        image_key: str = "image",
        label_key: str = "label",
        image_size: tuple[int, int] | None = None,
    ) -> "ImageData":
        """Reads an image classification data set of TensorFlow Datasets.

        Args:
            name: Name of the data set, such as `"mnist"` or
                `"cifar100:3.0.2"`.
            data_dir: Folder of prepared data sets; that of TFDS by default.
            download: Whether the data set may be downloaded and prepared.
            train_split: Split to train on, such as `"train"` or
                `"train[:80%]"`.
            test_split: Split to test on.
            image_key: Feature that holds the image.
            label_key: Feature that holds the label.
            image_size: Height and width to which every image is resized
                (bilinear, rounded back to the dtype of the images). Needed
                where the images of a data set differ in size.

        Returns:
            All of its images and labels, as arrays.

        Raises:
            ImportError: If `tensorflow-datasets` is not installed.
            ValueError: If a feature is unknown, or if images differ in size
                and no `image_size` is given.

        Example:

        ```python
        data = ImageData.from_tfds("cifar100", label_key="label")
        ```
        """
        train, test, num_classes = tfds_arrays.read(
            name,
            splits=(train_split, test_split),
            keys=(image_key, label_key),
            data_dir=data_dir,
            download=download,
            image_size=image_size,
        )
        return cls(train, test, num_classes)


def _checked_pair(name, pair):
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"`{name}` must be a pair (images, labels). Received: "
            f"{type(pair).__name__}. Pass `{name}=(x, y)`."
        )
    images, labels = np.asarray(pair[0]), np.asarray(pair[1])
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4:
        raise ValueError(
            f"The images of `{name}` must have the shape [n, height, width] "
            "or [n, height, width, channels]. Received the shape "
            f"{images.shape}. Reshape them."
        )
    if images.dtype != np.uint8 and not np.issubdtype(
        images.dtype, np.floating
    ):
        raise ValueError(
            f"The images of `{name}` must be uint8 (0 to 255) or floating "
            f"point (taken as they are). Received: {images.dtype}. Convert "
            "them with `astype`."
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"The labels of `{name}` must be integers of the shape [n] or "
            f"[n, 1]. Received: {labels.dtype} of the shape {labels.shape}. "
            "Turn one-hot labels into classes with `np.argmax(y, axis=-1)`."
        )
    if len(images) != len(labels) or not images.size:
        raise ValueError(
            f"`{name}` must have as many images as labels, and at least one. "
            f"Received: {len(images)} images, {len(labels)} labels. Check "
            "what the arrays were cut from."
        )
    return images, labels.astype(np.int64)


def _check_labels(name, labels, num_classes):
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"The labels of `{name}` must lie between 0 and num_classes - 1 "
            f"= {num_classes - 1}. Received labels from {low} to {high}. "
            "Renumber them or pass another `num_classes`."
        )
