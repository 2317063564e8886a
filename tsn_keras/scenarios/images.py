"""Labelled images in memory, the raw material of the scenarios."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tsn_keras.data import check_finite, check_integers, check_strings
from tsn_keras.scenarios.scenario import checked_class_names


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images with their labels.

    Images are `[n, height, width, channels]`, or `[n, height, width]` if they
    are grey; labels are integers of shape `[n]` or `[n, 1]`, from
    0 to `num_classes - 1`. The dtype of the images is kept: uint8 pixels are
    divided by 255 when a scenario makes batches, floating point pixels are
    taken as they are.

    Args:
        train: Pair `(images, labels)`; `test` likewise.
        num_classes: Number of classes; the largest label plus one by default.
        class_names: What the classes are called, in the order of their labels.

    Example:

    >>> images = np.zeros((6, 4, 4), "uint8")
    >>> labels = np.array([0, 1, 2, 0, 1, 2])
    >>> data = ImageData((images, labels), (images[:3], labels[:3]))
    >>> data.image_shape, data.num_classes
    ((4, 4, 1), 3)
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    num_classes: int | None = None
    class_names: Sequence[str] | None = None

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
        check_integers(num_classes=num_classes, or_none=True)
        if num_classes is None:
            num_classes = int(max(train[1].max(), test[1].max())) + 1
            # There may be no image of the last ones.
            names = checked_class_names(self.class_names, None) or ()
            num_classes = max(num_classes, len(names))
        for name, (_, labels) in (("train", train), ("test", test)):
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= num_classes:
                raise ValueError(
                    f"The labels of `{name}` must lie between 0 and "
                    f"num_classes - 1 = {num_classes - 1}. Received labels "
                    f"from {low} to {high}. Renumber them or pass another "
                    "`num_classes`."
                )
        names = checked_class_names(self.class_names, int(num_classes))
        object.__setattr__(self, "class_names", names)
        object.__setattr__(self, "train", train)
        object.__setattr__(self, "test", test)
        object.__setattr__(self, "num_classes", int(num_classes))

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
        class_names: Sequence[str] | None = None,
    ) -> "ImageData":
        """Takes arrays as `keras.datasets.*.load_data()` returns them.

        Example:

        ```python
        data = ImageData.from_arrays(*keras.datasets.mnist.load_data())
        ```
        """
        return cls(train, test, num_classes, class_names)

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
            name: Such as `"mnist"` or `"cifar100:3.0.2"`.
            data_dir: Folder of prepared data sets; that of TFDS by default.
            download: Whether the data set may be downloaded and prepared.
            train_split: Such as `"train"` or `"train[:80%]"`.
            image_key: Feature that holds the image; `label_key` likewise.
            image_size: Height and width to which every image is resized
                (bilinear, rounded back to the dtype of the images). Needed
                where the images of a data set differ in size.

        Raises:
            ImportError: If `tensorflow-datasets` is not installed.
            ValueError: If a feature is unknown, or if images differ in size
                and no `image_size` is given.

        Example:

        ```python
        data = ImageData.from_tfds("cifar100", label_key="label")
        ```
        """
        check_strings(name=name, image_key=image_key, label_key=label_key)
        try:
            import tensorflow_datasets as tfds
        except ImportError as error:
            raise ImportError(
                "`ImageData.from_tfds` needs TensorFlow Datasets. Install it "
                "with `pip install tensorflow-datasets`."
            ) from error
        builder = tfds.builder(name, data_dir=data_dir)
        features = builder.info.features
        keys = {"image_key": image_key, "label_key": label_key}
        for argument, key in keys.items():
            if key not in features:
                raise ValueError(
                    f"`{argument}` must be a feature of the data set {name!r}. "
                    f"Received: {key!r}. Its features are {sorted(features)}."
                )
        if download:
            builder.download_and_prepare()
        train, test = builder.as_dataset(
            split=[train_split, test_split],
            # Features that nobody asked for are not decoded.
            decoders=tfds.decode.PartialDecoding(set(keys.values())),
        )
        return cls(
            _arrays(train, *keys.values(), image_size, name),
            _arrays(test, *keys.values(), image_size, name),
            getattr(features[label_key], "num_classes", None),
            getattr(features[label_key], "names", None),
        )


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
    dtype = images.dtype
    if dtype != np.uint8 and not np.issubdtype(dtype, np.floating):
        raise ValueError(
            f"The images of `{name}` must be uint8 (0 to 255) or floating "
            f"point (taken as they are). Received: {dtype}. Convert "
            "them with `astype`."
        )
    check_finite(images, name)
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


def _arrays(dataset, image_key, label_key, image_size, name):
    image_shape = dataset.element_spec[image_key].shape
    if image_size is None and not image_shape.is_fully_defined():
        raise ValueError(
            f"The images of {name!r} differ in size: their shape is "
            f"{image_shape}. Pass `image_size=(height, width)`."
        )

    def pair(example):
        image = example[image_key]
        if image_size is not None:
            dtype, image = image.dtype, tf.cast(image, tf.float32)
            image = keras.ops.image.resize(
                image, image_size, data_format="channels_last"
            )
            if dtype.is_integer:
                image = tf.round(image)
            image = tf.cast(image, dtype)
        return image, example[label_key]

    # One batch of everything is one copy. Examples one by one would cost a
    # Python step each.
    pairs = dataset.map(pair, num_parallel_calls=tf.data.AUTOTUNE)
    everything = pairs.batch(max(1, int(dataset.cardinality())))
    images, labels = everything.get_single_element()
    return images.numpy(), labels.numpy()
