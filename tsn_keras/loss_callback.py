"""The callback that refuses to train on with a loss that is NaN."""

import keras
import numpy as np


class FiniteLossCallback(keras.callbacks.Callback):
    """Ends `fit` with an error once the loss is NaN or infinite."""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        raise FloatingPointError(
            f"The loss is {loss} in epoch {self._epoch + 1}: the training has "
            "diverged, or the data contain NaN. Lower the learning rate, clip "
            "the gradients (`clipnorm`), or clean the data. The task is as it "
            "was before `fit`, and the weight bank is unchanged."
        )
