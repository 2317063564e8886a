"""The refusal to train on once the loss or a kernel is NaN."""

from typing import Any

import keras
import numpy as np

from tsn_keras import followed_function

REMEDY = (
    "the training has diverged, or the data contain NaN. Lower the learning "
    "rate, clip the gradients (`clipnorm`), or clean the data. The task is as "
    "it was before `fit`, and the weight bank is unchanged."
)
# Calls of the training function from one look at the loss to the next.
FREQUENCY = 50


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

    The loss is looked at every 50 steps and when an epoch ends: it is the mean
    over the epoch, and stays NaN. Where the user's
    `keras.callbacks.TerminateOnNaN` has stopped the training already, no error
    is raised, and `stopped` is true.

    Args:
        kernels: list of `MaskedKernel`.
    """

    def __init__(self, kernels: list):
        super().__init__()
        self._kernels = kernels
        self._outputs = None
        self._calls = 0
        self.stopped = False
        self.message = ""

    def on_train_begin(self, logs: Any = None) -> None:
        followed_function.follow(self.model, self._look)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def _look(self, outputs: Any) -> None:
        self._calls += 1
        if self._calls % FREQUENCY == 0:
            # Not this step's: `TerminateOnNaN` sees that after us.
            self._check_loss(self._outputs)
        self._outputs = outputs

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._outputs = None
        self._check_loss(logs)
        if not self.stopped:
            check_kernels(self._kernels)

    def _check_loss(self, outputs: Any) -> None:
        loss = followed_function.loss_of(outputs)
        if np.isfinite(loss):
            return
        where = f"The loss is {loss} in epoch {self._epoch + 1}"
        self.message = f"{where}: {REMEDY}"
        if not self.model.stop_training:
            raise FloatingPointError(self.message)
        self.stopped = True
