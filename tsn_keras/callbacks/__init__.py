"""Callbacks for `fit` that know tasks."""

from tsn_keras.callbacks.task_tensorboard import (
    TaskTensorBoard as TaskTensorBoard,
)
