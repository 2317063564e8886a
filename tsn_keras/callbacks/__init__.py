"""Callbacks for `fit` that know tasks."""

from tsn_keras.callbacks.task_tensorboard import (
    TaskTensorBoard as TaskTensorBoard,
)

# For users: what completion shows and the reference describes.
__all__ = [
    "TaskTensorBoard",
]


def __dir__() -> list[str]:
    return __all__
