"""Data sets of TensorFlow Datasets as tasks in a row."""

import dataclasses
import difflib
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tsn_keras.data import (
    check_flags,
    check_integers,
    check_paths,
    check_strings,
    count_passes,
    shown,
)
from tsn_keras.scenarios import pipeline, scenario, splits
from tsn_keras.scenarios.datasets import by_task
from tsn_keras.scenarios.splits import PARTS, TEST, TRAIN, VALIDATION
from tsn_keras.scenarios.task_list import TaskList

# Training examples are shuffled among so many, or so many bytes.
MOST_SHUFFLED, MOST_SHUFFLED_BYTES = 10_000, 1 << 28


def from_tfds(
    names: Sequence[str] | Mapping[str, str],
    data_dir: str | None = None,
    image_size: tuple[int, int] | None = None,
    map: Callable | Mapping[str, Callable] | None = None,
    num_classes: int | Mapping[str, int] | None = None,
    batch_size: int = 32,
    validation_split: float = 0.1,
    test_split: float = 0.2,
    seed: int = 0,
    download: bool = False,
) -> scenario.Scenario:
    """Makes a task from each of several data sets of TensorFlow Datasets.

    Images are brought to one size and number of channels, grey ones to three
    where others are in colour, and to values between 0 and 1. They are read
    from disk batch by batch, and shuffled among 10,000 at a time.

    A data set's own `validation` and `test` splits are used. If there is none,
    it is the end of its training split, which TFDS has shuffled.

    Args:
        names: Such as `["mnist", "cifar100:3.0.2"]`; or a dict of them by the
            names of the tasks.
        data_dir: Folder of prepared data sets; that of TFDS by default.
        image_size: Height and width of all images; the largest of the data
            sets by default, where each has one.
        map: Function from an example, a dict of its features, to `(x, y)`, for
            text, tables or other labels; or a dict of such functions by task.
            What it gives is batched, and not changed.
        num_classes: As for `from_datasets`, where `map` gives other labels than
            the data set's.
        batch_size: Examples in a training batch.
        validation_split: Fraction of the training split that validates if there
            is no split for it; `test_split` likewise.
        seed: Seed of the order of training examples.
        download: Whether data sets may be fetched that are not there.

    Raises:
        ImportError: If `tensorflow-datasets` is not installed.
        ValueError: If data sets are missing, or have other features than an
            image and a class and no `map`.

    Example:

    ```python
    scenario = tsn_keras.scenarios.from_tfds(["mnist", "cifar100"])
    texts = tsn_keras.scenarios.from_tfds(
        ["imdb_reviews"], map=lambda one: (one["text"], one["label"])
    )
    ```
    """
    named = _named(names)
    check_paths(data_dir=data_dir, or_none=True)
    check_flags(download=download)
    batch_size = scenario.checked_int("batch_size", batch_size, 1)
    seed = scenario.checked_int("seed", seed, 0)
    fractions = {"validation_split": validation_split, "test_split": test_split}
    splits.check_splits(**fractions)
    if image_size is not None:
        image_size = scenario.checked_size(image_size)
    maps = by_task("map", map, named)
    for function in maps.values():
        if function is not None and not callable(function):
            raise TypeError(
                "`map` must be a function from an example to (x, y), or a dict "
                f"of such. Received: map={shown(map)}"
            )
    widths = by_task("num_classes", num_classes, named)
    for width in widths.values():
        check_integers(lowest=1, or_none=True, num_classes=width)

    sources = []
    for name, builder in _builders(named, data_dir, download).items():
        function = maps.get(name)
        keys = None if function else _keys(named[name], builder)
        width, classes = _classes(builder, keys)
        if widths.get(name) not in (None, width):
            width, classes = widths[name], None
        sources.append(
            Source(
                name=name,
                builder=builder,
                splits=_splits(named[name], builder, fractions),
                keys=keys,
                map=function,
                num_classes=width,
                class_names=classes,
                batch_size=batch_size,
                order_seed=splits.order_seed(seed, name),
            )
        )
    shape = _common_shape([s for s in sources if s.keys], image_size)
    return TaskList([functools.partial(s.build, shape) for s in sources])


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set that is a task.

    Args:
        builder: `tfds.core.DatasetBuilder`, prepared.
        splits: What to read for each part, such as `"train[:900]"`.
        keys: Features that are the image and the label, without a `map`.
    """

    name: str
    builder: Any
    splits: dict[str, str]
    keys: tuple[str, str] | None
    map: Callable | None
    num_classes: int | None
    class_names: list[str] | None
    batch_size: int
    order_seed: int

    def build(self, image_shape: tuple[int, int, int] | None) -> scenario.Task:
        data = {part: self._batches(part, image_shape) for part in PARTS}
        spec = data[TRAIN].element_spec[0]
        is_single = isinstance(spec, tf.TensorSpec) and spec.shape.rank
        return scenario.Task(
            name=self.name,
            num_classes=self.num_classes,
            input_shape=tuple(spec.shape[1:]) if is_single else None,
            class_names=self.class_names and list(self.class_names),
            **data,
        )

    def _batches(self, part, image_shape) -> tf.data.Dataset:
        import tensorflow_datasets as tfds

        decoders = None
        if self.keys:
            # Features that nobody asked for are not decoded.
            decoders = tfds.decode.PartialDecoding(set(self.keys))
        data = self.builder.as_dataset(
            split=self.splits[part], decoders=decoders, shuffle_files=False
        )
        count = int(data.cardinality())

        def pair(example):
            image, label = (example[key] for key in self.keys)
            return _brought_to(image, image_shape), label

        function = self.map or pair
        data = data.map(function, num_parallel_calls=tf.data.AUTOTUNE)
        _check_pair(self.name, data.element_spec)
        size = sum(
            spec.dtype.size * math.prod(n or 1 for n in spec.shape)
            for spec in tf.nest.flatten(data.element_spec)
            if isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
        )
        passes = None
        batch_size = pipeline.evaluation_batch_size(self.batch_size, 4 * size)
        if part == TRAIN:
            batch_size = self.batch_size
            most = min(MOST_SHUFFLED, MOST_SHUFFLED_BYTES // max(size, 1))
            passes = tf.Variable(-1, dtype=tf.int64, trainable=False)
            data = _shuffled(data, max(most, 1), self.order_seed, passes)
        data = data.apply(tf.data.experimental.assert_cardinality(count))
        data = data.batch(batch_size)
        if self.keys:
            data = data.map(
                lambda x, y: (_scaled(x), y),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        data = data.prefetch(tf.data.AUTOTUNE)
        if passes is not None:
            count_passes(data, passes)
        return data


def _shuffled(
    data: tf.data.Dataset, buffer: int, seed: int, passes: tf.Variable
) -> tf.data.Dataset:
    """Gives examples in a new order in every pass."""

    def one_pass(_):
        # Of this function's graph, in place of the global one, which depends
        # on whatever ran before. It must not be 0.
        tf.random.set_seed(seed + 1)
        return data.shuffle(
            buffer, passes.assign_add(1), reshuffle_each_iteration=False
        )

    return tf.data.Dataset.from_tensors(0).flat_map(one_pass)


def _brought_to(image: tf.Tensor, shape: tuple[int, int, int]) -> tf.Tensor:
    """Returns an image of another size and more channels, in its dtype."""
    dtype = image.dtype
    if image.shape[-1] != shape[-1]:
        image = tf.repeat(image, shape[-1], axis=-1)
    if tuple(image.shape[:2]) != shape[:2]:
        image = tf.image.resize(image, shape[:2], antialias=True)
        if dtype.is_integer:
            image = tf.clip_by_value(tf.round(image), dtype.min, dtype.max)
        image = tf.cast(image, dtype)
    return tf.ensure_shape(image, shape)


def _scaled(images: tf.Tensor) -> tf.Tensor:
    dtype = images.dtype
    images = tf.cast(images, tf.float32)
    return images / dtype.max if dtype.is_integer else images


def _check_pair(name: str, spec: Any) -> None:
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(
            f"`map` of task '{name}' must return a pair (x, y). It returned "
            f"{shown(spec)}"
        )


def _named(names: Any) -> dict[str, str]:
    """Returns names of data sets by those of tasks."""
    if isinstance(names, Mapping):
        named = dict(names)
    elif isinstance(names, Sequence) and not isinstance(names, str):
        for name in names:
            check_strings(names=name)
        tasks = [re.sub(r"[/:]", "_", name) for name in names]
        twice = sorted({task for task in tasks if tasks.count(task) > 1})
        if twice:
            raise ValueError(
                f"`names` has {twice} twice. Name the tasks in a dict, such as "
                f"{{'first': '{twice[0]}', 'second': '{twice[0]}'}}"
            )
        named = dict(zip(tasks, names))
    else:
        raise TypeError(
            "`names` must be a list of names of data sets, such as ['mnist', "
            f"'cifar100'], or a dict. Received: names={shown(names)}"
        )
    if not named:
        raise ValueError(f"`names` is empty. Received: names={shown(names)}")
    for task, name in named.items():
        check_strings(names=task)
        check_strings(names=name)
    return named


def _builders(named, data_dir, download) -> dict[str, Any]:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "`from_tfds` needs TensorFlow Datasets. Install it with "
            "`pip install tensorflow-datasets`."
        ) from error
    builders = {}
    for task, name in named.items():
        try:
            builders[task] = tfds.builder(name, data_dir=data_dir)
        except tfds.core.DatasetNotFoundError as error:
            short = re.split("[/:]", name)[0]
            close = difflib.get_close_matches(short, tfds.list_builders())
            hint = f" Did you mean one of {close}?" if close else ""
            raise ValueError(
                f"TensorFlow Datasets has no '{name}'.{hint} See "
                "`tensorflow_datasets.list_builders()`."
            ) from error
        except AssertionError as error:
            raise ValueError(str(error)) from error
    missing = {
        task: builder
        for task, builder in builders.items()
        if not builder.data_path.exists()
    }
    if missing and not download:
        where = f", data_dir={data_dir!r}" if data_dir is not None else ""
        lines = "".join(
            f"\n  tensorflow_datasets.builder({named[task]!r}{where})"
            f".download_and_prepare()  # to {builder.data_path}"
            for task, builder in missing.items()
        )
        raise ValueError(
            f"The data sets {[named[task] for task in missing]} are not on "
            "this machine. Pass `download=True`, or fetch them once with"
            f"{lines}"
        )
    for builder in missing.values():
        builder.download_and_prepare()
    return builders


def _keys(name: str, builder: Any) -> tuple[str, str]:
    """Returns the features that are the image and the label."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys = tuple(builder.info.supervised_keys or ())
    if len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        keys = tuple(
            key
            for kind in (tfds.features.Image, tfds.features.ClassLabel)
            for key, feature in features.items()
            if isinstance(feature, kind)
        )
    kinds = tuple(type(features[key]) for key in keys if key in features)
    if kinds != (tfds.features.Image, tfds.features.ClassLabel):
        raise ValueError(
            f"The data set '{name}' has not one image and one class for each "
            f"example: its features are {sorted(features)}. Pass "
            f"`map={{'{name}': lambda example: (example[...], "
            "example[...])}`."
        )
    return keys


def _classes(builder, keys) -> tuple[int | None, list[str] | None]:
    """Returns the number of classes and their names, as the data set says."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    labels = [features[keys[1]]] if keys else list(features.values())
    labels = [f for f in labels if isinstance(f, tfds.features.ClassLabel)]
    if len(labels) != 1:
        return None, None
    (label,) = labels
    names = label.names if label.num_classes else None
    return label.num_classes, list(names) if names else None


def _splits(name, builder, fractions) -> dict[str, str]:
    sizes = {
        split: info.num_examples for split, info in builder.info.splits.items()
    }
    if TRAIN not in sizes and len(sizes) != 1:
        raise ValueError(
            f"The data set '{name}' has no split 'train'; it has "
            f"{sorted(sizes)}. Use `from_datasets` with the splits you want."
        )
    whole = TRAIN if TRAIN in sizes else next(iter(sizes))
    found, end = {}, sizes[whole]
    for part in (TEST, VALIDATION):
        if part in sizes and part != whole:
            found[part] = part
            continue
        count = max(1, round(sizes[whole] * fractions[f"{part}_split"]))
        found[part] = f"{whole}[{end - count}:{end}]"
        end -= count
    if end < 1:
        raise ValueError(
            f"The data set '{name}' has {sizes[whole]} examples in "
            f"'{whole}': too few to train, validate and test."
        )
    return {TRAIN: f"{whole}[:{end}]", **found}


def _common_shape(sources, image_size) -> tuple[int, int, int] | None:
    """Returns the shape to which all images are brought."""
    if not sources:
        return None
    shapes = {
        source.name: source.builder.info.features[source.keys[0]].shape
        for source in sources
    }
    if image_size is None:
        unknown = [name for name, shape in shapes.items() if None in shape[:2]]
        if unknown:
            raise ValueError(
                f"The images of {unknown} differ in size. Pass "
                "`image_size=(height, width)`."
            )
        image_size = tuple(
            max(s[axis] for s in shapes.values()) for axis in (0, 1)
        )
    channels = {shape[-1] for shape in shapes.values()}
    if len(channels) > 1 and not channels <= {1, 3}:
        raise ValueError(
            f"Images of {sorted(channels, key=str)} channels cannot be brought "
            f"to one number of them: {shapes}. Pass a `map` of your own."
        )
    return (*image_size, max(channels))
