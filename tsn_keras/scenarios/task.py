"""One task of a scenario."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Task:
    """What a model learns between one `add_task` and its `consolidate`.

    The three data sets are batched pairs `(x, y)` with `x` float32 of shape
    `[batch, *input_shape]` and `y` int64 of shape `[batch]`, numbered from 0
    to `num_classes - 1`:

    ```python
    for task in scenario:
        model.add_task(task.name, head=keras.layers.Dense(task.num_classes))
        model.fit(task.train, validation_data=task.validation, epochs=5)
        model.consolidate(task.validation)
    ```

    Only `train` is shuffled, anew in every epoch.

    Args:
        name: Name of the task, unique in its scenario.
        train: Batches to train on.
        validation: Batches held out of the training images, for pruning,
            quantization and early stopping.
        test: Batches that are for evaluation only.
        num_classes: Number of classes, the width of the task's head.
        input_shape: Shape of one input, without the batch axis.
    """

    name: str
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    num_classes: int
    input_shape: tuple[int, ...]
