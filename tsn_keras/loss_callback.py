"""The callback that refuses to train on with a loss that is NaN."""

import keras
import numpy as np


class FiniteLossCallback(keras.callbacks.Callback):
    """Ends `fit` with an error if an epoch's loss is NaN or infinite.

    Where the user's own `keras.callbacks.TerminateOnNaN` has stopped the
    training already, nothing is raised.
    """

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss) or self.model.stop_training:
            return
        raise FloatingPointError(
            f"The loss is {loss} after epoch {epoch + 1}: the training has "
            "diverged, or the data contain NaN. Lower the learning rate, clip "
            "the gradients (`clipnorm`), or clean the data. The weight bank "
            "is unchanged."
        )
