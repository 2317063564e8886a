"""Data sets of TensorFlow Datasets as arrays."""

import keras
import numpy as np
import tensorflow as tf


def read(
    name: str,
    splits: tuple[str, str],
    keys: tuple[str, str],
    data_dir: str | None,
    download: bool,
    image_size: tuple[int, int] | None,
) -> tuple[tuple, tuple, int | None]:
    """Reads the images and labels of two splits.

    Args:
        name: Name of the data set.
        splits: The training and the test split.
        keys: The features that hold the image and the label.
        data_dir: Folder of prepared data sets, or None for that of TFDS.
        download: Whether the data set may be downloaded and prepared.
        image_size: Height and width to resize to, or None.

    Returns:
        The training pair and the test pair of arrays `(images, labels)`, and
        the number of classes, None if the label does not tell it.

    Raises:
        ImportError: If `tensorflow-datasets` is not installed.
        ValueError: If a feature is unknown, or if images differ in size and
            no `image_size` is given.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "`ImageData.from_tfds` needs TensorFlow Datasets. Install it "
            "with `pip install tensorflow-datasets`."
        ) from error
    builder = tfds.builder(name, data_dir=data_dir)
    _check_features(builder.info.features, keys, name)
    if download:
        builder.download_and_prepare()
    train, test = builder.as_dataset(
        split=list(splits),
        # Features that nobody asked for are not decoded.
        decoders=tfds.decode.PartialDecoding(set(keys)),
    )
    return (
        _arrays(train, keys, image_size, name),
        _arrays(test, keys, image_size, name),
        getattr(builder.info.features[keys[1]], "num_classes", None),
    )


def _check_features(features, keys, name):
    for argument, key in zip(("image_key", "label_key"), keys):
        if key not in features:
            raise ValueError(
                f"`{argument}` must be a feature of the data set {name!r}. "
                f"Received: {key!r}. Its features are {sorted(features)}."
            )


def _arrays(dataset, keys, image_size, name) -> tuple[np.ndarray, np.ndarray]:
    image_key, label_key = keys
    image_shape = dataset.element_spec[image_key].shape
    if image_size is None and not image_shape.is_fully_defined():
        raise ValueError(
            f"The images of {name!r} differ in size: their shape is "
            f"{image_shape}. Pass `image_size=(height, width)`."
        )

    def pair(example):
        image = example[image_key]
        if image_size is not None:
            image = _resized(image, image_size)
        return image, example[label_key]

    # One batch of everything is one copy, where example by example costs a
    # Python step each.
    count = max(1, int(dataset.cardinality()))
    images, labels = (
        dataset.map(pair, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(count)
        .get_single_element()
    )
    return images.numpy(), labels.numpy()


def _resized(image, image_size):
    resized = keras.ops.image.resize(
        tf.cast(image, tf.float32), image_size, data_format="channels_last"
    )
    if image.dtype.is_integer:
        resized = tf.round(resized)
    return tf.cast(resized, image.dtype)
