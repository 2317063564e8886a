"""A look at what each training step returns, without a hook of Keras'.

For a hook at the end of batches Keras would wait for the metrics of each step,
or hand them to another thread, which in small networks costs as much as a
twentieth of the step.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras


@dataclasses.dataclass
class FollowedFunction:
    """A model's training function, followed by a look at what it returned.

    Args:
        function: function of an iterator, the model's own.
        look: function of what that returned.
    """

    function: Callable
    look: Callable

    def __call__(self, iterator: Any) -> Any:
        outputs = self.function(iterator)
        self.look(outputs)
        return outputs


def loss_of(outputs: Any) -> float:
    """Returns the mean loss of an epoch so far; 0 if there is none.

    Args:
        outputs: what a training step returned, or an epoch's logs.
    """
    loss = outputs.get("loss") if isinstance(outputs, dict) else None
    return 0.0 if loss is None else float(loss)


def follow(model: keras.Model, look: Callable) -> None:
    """Lets a function see what the following training steps return.

    Args:
        model: `keras.Model` that has made its training function, as it has
            when `on_train_begin` of callbacks is called.
        look: function of the outputs of a step, or of `steps_per_execution`.
    """
    model.train_function = FollowedFunction(model.train_function, look)


def is_followed(model: keras.Model) -> bool:
    """Tells whether a function sees what training steps return."""
    return isinstance(model.train_function, FollowedFunction)


def leave(model: keras.Model) -> None:
    """Gives a model back the training function that was followed.

    Args:
        model: `keras.Model`, followed or not.
    """
    while is_followed(model):
        model.train_function = model.train_function.function
