"""The refusal to train on once the loss or a kernel is NaN."""

from typing import Any

import keras
import numpy as np

REMEDY = (
    "the training has diverged, or the data contain NaN. Lower the learning "
    "rate, clip the gradients (`clipnorm`), or clean the data. The task is as "
    "it was before `fit`, and the weight bank is unchanged."
)


def check_kernels(kernels: list) -> None:
    """Refuses kernels with NaN, which a ReLU can hide from the loss.

    Args:
        kernels: list of `MaskedKernel`.
    """
    for kernel in kernels:
        if not np.isfinite(keras.ops.convert_to_numpy(kernel.kernel)).all():
            raise FloatingPointError(
                f"Kernel '{kernel.path}' has become NaN or infinite: {REMEDY}"
            )


class FiniteLossCallback(keras.callbacks.Callback):
    """Ends `fit` with an error once the loss or a kernel is NaN or infinite.

    Where the user's `keras.callbacks.TerminateOnNaN` has stopped the training
    already, no error is raised, and `stopped` is true.

    Keras may call it in another thread, so that no step waits for its loss.
    The error then comes a few steps later, at the latest when the epoch ends.

    Args:
        kernels: list of `MaskedKernel`.
    """

    async_safe = True

    def __init__(self, kernels: list):
        super().__init__()
        self._kernels = kernels
        self.stopped = False
        self.message = ""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        where = f"The loss is {loss} in epoch {self._epoch + 1}"
        self.message = f"{where}: {REMEDY}"
        if not self.model.stop_training:
            raise FloatingPointError(self.message)
        self.stopped = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.stopped:
            check_kernels(self._kernels)
