"""Tasks under the strategies of `tf.distribute`."""

import functools
from collections.abc import Callable


def in_strategy_scope(method: Callable) -> Callable:
    """Lets a method of a model create variables as its strategy does.

    The variables of heads, optimizers and fine-tuning come when a task needs
    them, long after the user's own `with strategy.scope()`.

    Args:
        method: method of a `keras.Model`.

    Returns:
        The method, run in the scope of the model's strategy.
    """

    @functools.wraps(method)
    def scoped(self, *args, **kwargs):
        with self.distribute_strategy.scope():
            return method(self, *args, **kwargs)

    return scoped
